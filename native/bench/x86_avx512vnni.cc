// Register-only loops: as many independent sums as hide the latency, and nothing but multiplications.
#include <immintrin.h>

#include "bench/peak.h"

namespace limbeck {

PeakRun PeakInt8Avx512Vnni(int64_t rounds) {
  __m512i s0 = _mm512_set1_epi32(1);
  __m512i s1 = _mm512_set1_epi32(1);
  __m512i s2 = _mm512_set1_epi32(1);
  __m512i s3 = _mm512_set1_epi32(1);
  __m512i s4 = _mm512_set1_epi32(1);
  __m512i s5 = _mm512_set1_epi32(1);
  __m512i s6 = _mm512_set1_epi32(1);
  __m512i s7 = _mm512_set1_epi32(1);
  __m512i s8 = _mm512_set1_epi32(1);
  __m512i s9 = _mm512_set1_epi32(1);
  __m512i s10 = _mm512_set1_epi32(1);
  __m512i s11 = _mm512_set1_epi32(1);
  __m512i s12 = _mm512_set1_epi32(1);
  __m512i s13 = _mm512_set1_epi32(1);
  __m512i s14 = _mm512_set1_epi32(1);
  __m512i s15 = _mm512_set1_epi32(1);
  const __m512i a = _mm512_set1_epi32(1);
  const __m512i b = _mm512_set1_epi32(1);
  for (int64_t i = 0; i < rounds; ++i) {
    asm volatile("vpdpbusd %2, %1, %0" : "+v"(s0) : "v"(a), "v"(b));
    asm volatile("vpdpbusd %2, %1, %0" : "+v"(s1) : "v"(a), "v"(b));
    asm volatile("vpdpbusd %2, %1, %0" : "+v"(s2) : "v"(a), "v"(b));
    asm volatile("vpdpbusd %2, %1, %0" : "+v"(s3) : "v"(a), "v"(b));
    asm volatile("vpdpbusd %2, %1, %0" : "+v"(s4) : "v"(a), "v"(b));
    asm volatile("vpdpbusd %2, %1, %0" : "+v"(s5) : "v"(a), "v"(b));
    asm volatile("vpdpbusd %2, %1, %0" : "+v"(s6) : "v"(a), "v"(b));
    asm volatile("vpdpbusd %2, %1, %0" : "+v"(s7) : "v"(a), "v"(b));
    asm volatile("vpdpbusd %2, %1, %0" : "+v"(s8) : "v"(a), "v"(b));
    asm volatile("vpdpbusd %2, %1, %0" : "+v"(s9) : "v"(a), "v"(b));
    asm volatile("vpdpbusd %2, %1, %0" : "+v"(s10) : "v"(a), "v"(b));
    asm volatile("vpdpbusd %2, %1, %0" : "+v"(s11) : "v"(a), "v"(b));
    asm volatile("vpdpbusd %2, %1, %0" : "+v"(s12) : "v"(a), "v"(b));
    asm volatile("vpdpbusd %2, %1, %0" : "+v"(s13) : "v"(a), "v"(b));
    asm volatile("vpdpbusd %2, %1, %0" : "+v"(s14) : "v"(a), "v"(b));
    asm volatile("vpdpbusd %2, %1, %0" : "+v"(s15) : "v"(a), "v"(b));
  }
  __m512i total = s0;
  total = _mm512_add_epi32(total, s1);
  total = _mm512_add_epi32(total, s2);
  total = _mm512_add_epi32(total, s3);
  total = _mm512_add_epi32(total, s4);
  total = _mm512_add_epi32(total, s5);
  total = _mm512_add_epi32(total, s6);
  total = _mm512_add_epi32(total, s7);
  total = _mm512_add_epi32(total, s8);
  total = _mm512_add_epi32(total, s9);
  total = _mm512_add_epi32(total, s10);
  total = _mm512_add_epi32(total, s11);
  total = _mm512_add_epi32(total, s12);
  total = _mm512_add_epi32(total, s13);
  total = _mm512_add_epi32(total, s14);
  total = _mm512_add_epi32(total, s15);
  float value;
  __builtin_memcpy(&value, &total, sizeof(value));
  return {static_cast<double>(rounds) * 16 * 128, value};
}

PeakRun PeakF32Avx512(int64_t rounds) {
  __m512 s0 = _mm512_set1_ps(0.5f);
  __m512 s1 = _mm512_set1_ps(0.5f);
  __m512 s2 = _mm512_set1_ps(0.5f);
  __m512 s3 = _mm512_set1_ps(0.5f);
  __m512 s4 = _mm512_set1_ps(0.5f);
  __m512 s5 = _mm512_set1_ps(0.5f);
  __m512 s6 = _mm512_set1_ps(0.5f);
  __m512 s7 = _mm512_set1_ps(0.5f);
  __m512 s8 = _mm512_set1_ps(0.5f);
  __m512 s9 = _mm512_set1_ps(0.5f);
  __m512 s10 = _mm512_set1_ps(0.5f);
  __m512 s11 = _mm512_set1_ps(0.5f);
  __m512 s12 = _mm512_set1_ps(0.5f);
  __m512 s13 = _mm512_set1_ps(0.5f);
  __m512 s14 = _mm512_set1_ps(0.5f);
  __m512 s15 = _mm512_set1_ps(0.5f);
  const __m512 a = _mm512_set1_ps(0.5f);
  const __m512 b = _mm512_set1_ps(0.5f);
  for (int64_t i = 0; i < rounds; ++i) {
    asm volatile("vfmadd231ps %2, %1, %0" : "+v"(s0) : "v"(a), "v"(b));
    asm volatile("vfmadd231ps %2, %1, %0" : "+v"(s1) : "v"(a), "v"(b));
    asm volatile("vfmadd231ps %2, %1, %0" : "+v"(s2) : "v"(a), "v"(b));
    asm volatile("vfmadd231ps %2, %1, %0" : "+v"(s3) : "v"(a), "v"(b));
    asm volatile("vfmadd231ps %2, %1, %0" : "+v"(s4) : "v"(a), "v"(b));
    asm volatile("vfmadd231ps %2, %1, %0" : "+v"(s5) : "v"(a), "v"(b));
    asm volatile("vfmadd231ps %2, %1, %0" : "+v"(s6) : "v"(a), "v"(b));
    asm volatile("vfmadd231ps %2, %1, %0" : "+v"(s7) : "v"(a), "v"(b));
    asm volatile("vfmadd231ps %2, %1, %0" : "+v"(s8) : "v"(a), "v"(b));
    asm volatile("vfmadd231ps %2, %1, %0" : "+v"(s9) : "v"(a), "v"(b));
    asm volatile("vfmadd231ps %2, %1, %0" : "+v"(s10) : "v"(a), "v"(b));
    asm volatile("vfmadd231ps %2, %1, %0" : "+v"(s11) : "v"(a), "v"(b));
    asm volatile("vfmadd231ps %2, %1, %0" : "+v"(s12) : "v"(a), "v"(b));
    asm volatile("vfmadd231ps %2, %1, %0" : "+v"(s13) : "v"(a), "v"(b));
    asm volatile("vfmadd231ps %2, %1, %0" : "+v"(s14) : "v"(a), "v"(b));
    asm volatile("vfmadd231ps %2, %1, %0" : "+v"(s15) : "v"(a), "v"(b));
  }
  __m512 total = s0;
  total = _mm512_add_ps(total, s1);
  total = _mm512_add_ps(total, s2);
  total = _mm512_add_ps(total, s3);
  total = _mm512_add_ps(total, s4);
  total = _mm512_add_ps(total, s5);
  total = _mm512_add_ps(total, s6);
  total = _mm512_add_ps(total, s7);
  total = _mm512_add_ps(total, s8);
  total = _mm512_add_ps(total, s9);
  total = _mm512_add_ps(total, s10);
  total = _mm512_add_ps(total, s11);
  total = _mm512_add_ps(total, s12);
  total = _mm512_add_ps(total, s13);
  total = _mm512_add_ps(total, s14);
  total = _mm512_add_ps(total, s15);
  float value;
  __builtin_memcpy(&value, &total, sizeof(value));
  return {static_cast<double>(rounds) * 16 * 32, value};
}

}  // namespace limbeck
