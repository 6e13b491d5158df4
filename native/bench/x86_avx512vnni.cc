#include <immintrin.h>

#include "bench/peak_loop.h"

namespace limbeck {

PeakRun PeakInt8Avx512Vnni(int64_t rounds) {
  const __m512i one = _mm512_set1_epi32(1);
  return Loop<16>(rounds, one, 128, [one](__m512i& sum) {
    asm volatile("vpdpbusd %1, %1, %0" : "+v"(sum) : "v"(one));
  });
}

PeakRun PeakBf16Avx512(int64_t rounds) {
  const __m512 half = _mm512_set1_ps(0.5f);
  return Loop<16>(rounds, half, 64, [half](__m512& sum) {
    asm volatile("vdpbf16ps %1, %1, %0" : "+v"(sum) : "v"(half));
  });
}

PeakRun PeakF32Avx512(int64_t rounds) {
  const __m512 half = _mm512_set1_ps(0.5f);
  return Loop<16>(rounds, half, 32, [half](__m512& sum) {
    asm volatile("vfmadd231ps %1, %1, %0" : "+v"(sum) : "v"(half));
  });
}

}  // namespace limbeck
