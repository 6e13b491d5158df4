#include <immintrin.h>

#include "bench/peak_loop.h"

namespace limbeck {

PeakRun PeakInt8AvxVnni(int64_t rounds) {
  const __m256i one = _mm256_set1_epi32(1);
  return Loop<12>(rounds, one, 64, [one](__m256i& sum) {
    asm volatile("%{vex%} vpdpbusd %1, %1, %0" : "+x"(sum) : "x"(one));
  });
}

}  // namespace limbeck
