// Four products a lane, exact without VNNI: maddubs would saturate at int16, so bytes are widened to 16 bits and summed
// by madd, which cannot overflow (2 * 255 * 127 fits int32). A quad (k0 k1 k2 k3) is split into its even and its odd
// bytes. Include after base/vec_avx2.h.
#ifndef LIMBECK_KERNELS_DOT_AVX2_H_
#define LIMBECK_KERNELS_DOT_AVX2_H_

#include "base/types.h"

namespace limbeck {
namespace {

struct Lanes {
  __m256i even;
  __m256i odd;
};
struct Weights {
  __m256i even;
  __m256i odd;
};

inline Lanes LoadLanes(const uint8_t* a) {
  const __m256i lanes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(a));
  return {_mm256_and_si256(lanes, _mm256_set1_epi16(0x00ff)), _mm256_srli_epi16(lanes, 8)};
}
inline Weights LoadWeights(const int8_t* w) {
  int32_t packed;
  __builtin_memcpy(&packed, w, sizeof(packed));
  const __m256i weights = _mm256_set1_epi32(packed);
  return {_mm256_srai_epi16(_mm256_slli_epi16(weights, 8), 8), _mm256_srai_epi16(weights, 8)};
}
inline void Dot(__m256i& sum, const Lanes& lanes, const Weights& weights) {
  sum = _mm256_add_epi32(sum, _mm256_madd_epi16(lanes.even, weights.even));
  sum = _mm256_add_epi32(sum, _mm256_madd_epi16(lanes.odd, weights.odd));
}

}  // namespace
}  // namespace limbeck

#endif  // LIMBECK_KERNELS_DOT_AVX2_H_
