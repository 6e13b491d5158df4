#include <immintrin.h>

#include "bench/peak_loop.h"

namespace limbeck {

PeakRun PeakInt8Avx2(int64_t rounds) {
  const __m256i one = _mm256_set1_epi32(1);
  return Loop<8>(rounds, one, 32, [one](__m256i& sum) {
    __m256i product;
    asm volatile("vpmaddwd %2, %2, %1\n\tvpaddd %1, %0, %0" : "+x"(sum), "=&x"(product) : "x"(one));
  });
}

PeakRun PeakF32Avx2(int64_t rounds) {
  const __m256 half = _mm256_set1_ps(0.5f);
  return Loop<12>(rounds, half, 16, [half](__m256& sum) {
    asm volatile("vfmadd231ps %1, %1, %0" : "+x"(sum) : "x"(half));
  });
}

}  // namespace limbeck
