// Four products a lane with one AVX-512 VNNI instruction. Include after base/vec_avx512.h.
#ifndef LIMBECK_KERNELS_DOT_AVX512VNNI_H_
#define LIMBECK_KERNELS_DOT_AVX512VNNI_H_

#include "base/types.h"

namespace limbeck {
namespace {

using Lanes = __m512i;
using Weights = __m512i;

inline Lanes LoadLanes(const uint8_t* a) { return _mm512_loadu_si512(a); }
inline Weights LoadWeights(const int8_t* w) {
  int32_t packed;
  __builtin_memcpy(&packed, w, sizeof(packed));
  return _mm512_set1_epi32(packed);
}
// Written as an instruction because gcc 12 copies the sum to a fresh register and back around the intrinsic, which
// halves a loop's speed.
inline void Dot(__m512i& sum, Lanes lanes, Weights weights) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(lanes), "v"(weights));
}

}  // namespace
}  // namespace limbeck

#endif  // LIMBECK_KERNELS_DOT_AVX512VNNI_H_
