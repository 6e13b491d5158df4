// Pairs of bfloat16 in a register, for files built with AVX512-BF16.
#ifndef LIMBECK_KERNELS_ROUND_F32_BF16_PAIRS_AVX512BF16_H_
#define LIMBECK_KERNELS_ROUND_F32_BF16_PAIRS_AVX512BF16_H_

#include "base/vec_avx512.h"

namespace limbeck {
namespace {

// Two rows of a panel, side by side.
inline void StorePairs(uint16_t* p, Vec first, Vec second) {
  const __m512i low = _mm512_cvtepu16_epi32(reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(first)));
  const __m512i high = _mm512_cvtepu16_epi32(reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(second)));
  _mm512_storeu_si512(p, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
}

}  // namespace
}  // namespace limbeck

#endif  // LIMBECK_KERNELS_ROUND_F32_BF16_PAIRS_AVX512BF16_H_
