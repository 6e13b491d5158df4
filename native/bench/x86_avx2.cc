// Register-only loops: as many independent sums as hide the latency, and nothing but multiplications.
#include <immintrin.h>

#include "bench/peak.h"

namespace limbeck {

PeakRun PeakInt8Avx2(int64_t rounds) {
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
    {
      __m256i product;
      asm volatile("vpmaddwd %2, %1, %0" : "=x"(product) : "x"(a), "x"(b));
      s0 = _mm256_add_epi32(s0, product);
    }
    {
      __m256i product;
      asm volatile("vpmaddwd %2, %1, %0" : "=x"(product) : "x"(a), "x"(b));
      s1 = _mm256_add_epi32(s1, product);
    }
    {
      __m256i product;
      asm volatile("vpmaddwd %2, %1, %0" : "=x"(product) : "x"(a), "x"(b));
      s2 = _mm256_add_epi32(s2, product);
    }
    {
      __m256i product;
      asm volatile("vpmaddwd %2, %1, %0" : "=x"(product) : "x"(a), "x"(b));
      s3 = _mm256_add_epi32(s3, product);
    }
    {
      __m256i product;
      asm volatile("vpmaddwd %2, %1, %0" : "=x"(product) : "x"(a), "x"(b));
      s4 = _mm256_add_epi32(s4, product);
    }
    {
      __m256i product;
      asm volatile("vpmaddwd %2, %1, %0" : "=x"(product) : "x"(a), "x"(b));
      s5 = _mm256_add_epi32(s5, product);
    }
    {
      __m256i product;
      asm volatile("vpmaddwd %2, %1, %0" : "=x"(product) : "x"(a), "x"(b));
      s6 = _mm256_add_epi32(s6, product);
    }
    {
      __m256i product;
      asm volatile("vpmaddwd %2, %1, %0" : "=x"(product) : "x"(a), "x"(b));
      s7 = _mm256_add_epi32(s7, product);
    }
    {
      __m256i product;
      asm volatile("vpmaddwd %2, %1, %0" : "=x"(product) : "x"(a), "x"(b));
      s8 = _mm256_add_epi32(s8, product);
    }
    {
      __m256i product;
      asm volatile("vpmaddwd %2, %1, %0" : "=x"(product) : "x"(a), "x"(b));
      s9 = _mm256_add_epi32(s9, product);
    }
    {
      __m256i product;
      asm volatile("vpmaddwd %2, %1, %0" : "=x"(product) : "x"(a), "x"(b));
      s10 = _mm256_add_epi32(s10, product);
    }
    {
      __m256i product;
      asm volatile("vpmaddwd %2, %1, %0" : "=x"(product) : "x"(a), "x"(b));
      s11 = _mm256_add_epi32(s11, product);
    }
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
  return {static_cast<double>(rounds) * 12 * 32, value};
}

PeakRun PeakF32Avx2(int64_t rounds) {
  __m256 s0 = _mm256_set1_ps(0.5f);
  __m256 s1 = _mm256_set1_ps(0.5f);
  __m256 s2 = _mm256_set1_ps(0.5f);
  __m256 s3 = _mm256_set1_ps(0.5f);
  __m256 s4 = _mm256_set1_ps(0.5f);
  __m256 s5 = _mm256_set1_ps(0.5f);
  __m256 s6 = _mm256_set1_ps(0.5f);
  __m256 s7 = _mm256_set1_ps(0.5f);
  __m256 s8 = _mm256_set1_ps(0.5f);
  __m256 s9 = _mm256_set1_ps(0.5f);
  __m256 s10 = _mm256_set1_ps(0.5f);
  __m256 s11 = _mm256_set1_ps(0.5f);
  const __m256 a = _mm256_set1_ps(0.5f);
  const __m256 b = _mm256_set1_ps(0.5f);
  for (int64_t i = 0; i < rounds; ++i) {
    asm volatile("vfmadd231ps %2, %1, %0" : "+x"(s0) : "x"(a), "x"(b));
    asm volatile("vfmadd231ps %2, %1, %0" : "+x"(s1) : "x"(a), "x"(b));
    asm volatile("vfmadd231ps %2, %1, %0" : "+x"(s2) : "x"(a), "x"(b));
    asm volatile("vfmadd231ps %2, %1, %0" : "+x"(s3) : "x"(a), "x"(b));
    asm volatile("vfmadd231ps %2, %1, %0" : "+x"(s4) : "x"(a), "x"(b));
    asm volatile("vfmadd231ps %2, %1, %0" : "+x"(s5) : "x"(a), "x"(b));
    asm volatile("vfmadd231ps %2, %1, %0" : "+x"(s6) : "x"(a), "x"(b));
    asm volatile("vfmadd231ps %2, %1, %0" : "+x"(s7) : "x"(a), "x"(b));
    asm volatile("vfmadd231ps %2, %1, %0" : "+x"(s8) : "x"(a), "x"(b));
    asm volatile("vfmadd231ps %2, %1, %0" : "+x"(s9) : "x"(a), "x"(b));
    asm volatile("vfmadd231ps %2, %1, %0" : "+x"(s10) : "x"(a), "x"(b));
    asm volatile("vfmadd231ps %2, %1, %0" : "+x"(s11) : "x"(a), "x"(b));
  }
  __m256 total = s0;
  total = _mm256_add_ps(total, s1);
  total = _mm256_add_ps(total, s2);
  total = _mm256_add_ps(total, s3);
  total = _mm256_add_ps(total, s4);
  total = _mm256_add_ps(total, s5);
  total = _mm256_add_ps(total, s6);
  total = _mm256_add_ps(total, s7);
  total = _mm256_add_ps(total, s8);
  total = _mm256_add_ps(total, s9);
  total = _mm256_add_ps(total, s10);
  total = _mm256_add_ps(total, s11);
  float value;
  __builtin_memcpy(&value, &total, sizeof(value));
  return {static_cast<double>(rounds) * 12 * 16, value};
}

}  // namespace limbeck
