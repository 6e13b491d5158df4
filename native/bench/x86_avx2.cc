#include <immintrin.h>

#include "bench/peak_loop.h"

namespace limbeck {

// Two registers of bytes, summed in 16 bits before they are widened: see kernels/spmm_u8s8_s32/x86_avx2.cc.
PeakRun PeakInt8Avx2(int64_t rounds) {
  const __m256i one = _mm256_set1_epi16(1);
  return Loop<8>(rounds, one, 128, [one](__m256i& sum) {
    __m256i first;
    __m256i second;
    asm volatile(
        "vpmaddubsw %3, %3, %1\n\tvpmaddubsw %3, %3, %2\n\tvpaddw %2, %1, %1\n\t"
        "vpmaddwd %3, %1, %1\n\tvpaddd %1, %0, %0"
        : "+x"(sum), "=&x"(first), "=&x"(second)
        : "x"(one));
  });
}

PeakRun PeakF32Avx2(int64_t rounds) {
  const __m256 half = _mm256_set1_ps(0.5f);
  return Loop<12>(rounds, half, 16, [half](__m256& sum) {
    asm volatile("vfmadd231ps %1, %1, %0" : "+x"(sum) : "x"(half));
  });
}

}  // namespace limbeck
