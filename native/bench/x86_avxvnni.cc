// Register-only loops: as many independent sums as hide the latency, and nothing but multiplications.
#include <immintrin.h>

#include "bench/peak.h"

namespace limbeck {

PeakRun PeakInt8AvxVnni(int64_t rounds) {
  __m256i s0 = _mm256_set1_epi32(1);
  __m256i s1 = _mm256_set1_epi32(1);
  __m256i s2 = _mm256_set1_epi32(1);
  __m256i s3 = _mm256_set1_epi32(1);
  __m256i s4 = _mm256_set1_epi32(1);
  __m256i s5 = _mm256_set1_epi32(1);
  __m256i s6 = _mm256_set1_epi32(1);
  __m256i s7 = _mm256_set1_epi32(1);
  __m256i s8 = _mm256_set1_epi32(1);
  __m256i s9 = _mm256_set1_epi32(1);
  __m256i s10 = _mm256_set1_epi32(1);
  __m256i s11 = _mm256_set1_epi32(1);
  const __m256i a = _mm256_set1_epi32(1);
  const __m256i b = _mm256_set1_epi32(1);
  for (int64_t i = 0; i < rounds; ++i) {
    asm volatile("%{vex%} vpdpbusd %2, %1, %0" : "+x"(s0) : "x"(a), "x"(b));
    asm volatile("%{vex%} vpdpbusd %2, %1, %0" : "+x"(s1) : "x"(a), "x"(b));
    asm volatile("%{vex%} vpdpbusd %2, %1, %0" : "+x"(s2) : "x"(a), "x"(b));
    asm volatile("%{vex%} vpdpbusd %2, %1, %0" : "+x"(s3) : "x"(a), "x"(b));
    asm volatile("%{vex%} vpdpbusd %2, %1, %0" : "+x"(s4) : "x"(a), "x"(b));
    asm volatile("%{vex%} vpdpbusd %2, %1, %0" : "+x"(s5) : "x"(a), "x"(b));
    asm volatile("%{vex%} vpdpbusd %2, %1, %0" : "+x"(s6) : "x"(a), "x"(b));
    asm volatile("%{vex%} vpdpbusd %2, %1, %0" : "+x"(s7) : "x"(a), "x"(b));
    asm volatile("%{vex%} vpdpbusd %2, %1, %0" : "+x"(s8) : "x"(a), "x"(b));
    asm volatile("%{vex%} vpdpbusd %2, %1, %0" : "+x"(s9) : "x"(a), "x"(b));
    asm volatile("%{vex%} vpdpbusd %2, %1, %0" : "+x"(s10) : "x"(a), "x"(b));
    asm volatile("%{vex%} vpdpbusd %2, %1, %0" : "+x"(s11) : "x"(a), "x"(b));
  }
  __m256i total = s0;
  total = _mm256_add_epi32(total, s1);
  total = _mm256_add_epi32(total, s2);
  total = _mm256_add_epi32(total, s3);
  total = _mm256_add_epi32(total, s4);
  total = _mm256_add_epi32(total, s5);
  total = _mm256_add_epi32(total, s6);
  total = _mm256_add_epi32(total, s7);
  total = _mm256_add_epi32(total, s8);
  total = _mm256_add_epi32(total, s9);
  total = _mm256_add_epi32(total, s10);
  total = _mm256_add_epi32(total, s11);
  float value;
  __builtin_memcpy(&value, &total, sizeof(value));
  return {static_cast<double>(rounds) * 12 * 64, value};
}

}  // namespace limbeck
