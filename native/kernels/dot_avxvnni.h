// Four products a lane with one AVX-VNNI instruction (256 bits). Include after base/vec_avx2.h.
#ifndef LIMBECK_KERNELS_DOT_AVXVNNI_H_
#define LIMBECK_KERNELS_DOT_AVXVNNI_H_

#include "base/types.h"

namespace limbeck {
namespace {

using Lanes = __m256i;
using Weights = __m256i;

inline Lanes LoadLanes(const uint8_t* a) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(a)); }
inline Weights LoadWeights(const int8_t* w) {
  int32_t packed;
  __builtin_memcpy(&packed, w, sizeof(packed));
  return _mm256_set1_epi32(packed);
}
// An instruction rather than the intrinsic: see dot_avx512vnni.h.
inline void Dot(__m256i& sum, Lanes lanes, Weights weights) {
  asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(lanes), "x"(weights));
}

}  // namespace
}  // namespace limbeck

#endif  // LIMBECK_KERNELS_DOT_AVXVNNI_H_
