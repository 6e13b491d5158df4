// 16 floats in a register, for files built with AVX-512 flags. Same names as vec_avx2.h; both feed the shared bodies.
#ifndef LIMBECK_BASE_VEC_AVX512_H_
#define LIMBECK_BASE_VEC_AVX512_H_

#include <immintrin.h>

#include "base/types.h"

namespace limbeck {
namespace {

constexpr int kWidth = 16;
using Vec = __m512;
using IntVec = __m512i;

inline Vec Load(const float* p) { return _mm512_loadu_ps(p); }
inline void Store(float* p, Vec v) { _mm512_storeu_ps(p, v); }
inline Vec Set(float x) { return _mm512_set1_ps(x); }
inline Vec Zero() { return _mm512_setzero_ps(); }
inline Vec Add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
inline Vec Sub(Vec a, Vec b) { return _mm512_sub_ps(a, b); }
inline Vec Mul(Vec a, Vec b) { return _mm512_mul_ps(a, b); }
inline Vec Div(Vec a, Vec b) { return _mm512_div_ps(a, b); }
inline Vec Fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
inline Vec Sqrt(Vec a) { return _mm512_sqrt_ps(a); }
inline Vec Min(Vec a, Vec b) { return _mm512_min_ps(a, b); }
inline Vec Max(Vec a, Vec b) { return _mm512_max_ps(a, b); }
inline Vec Round(Vec a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

inline IntVec LoadInt(const int32_t* p) { return _mm512_loadu_si512(p); }
inline void StoreInt(int32_t* p, IntVec v) { _mm512_storeu_si512(p, v); }
inline IntVec SetInt(int32_t x) { return _mm512_set1_epi32(x); }
inline IntVec AddInt(IntVec a, IntVec b) { return _mm512_add_epi32(a, b); }
inline IntVec SubInt(IntVec a, IntVec b) { return _mm512_sub_epi32(a, b); }
inline IntVec MulInt(IntVec a, IntVec b) { return _mm512_mullo_epi32(a, b); }
inline IntVec MinInt(IntVec a, IntVec b) { return _mm512_min_epi32(a, b); }
inline IntVec MaxInt(IntVec a, IntVec b) { return _mm512_max_epi32(a, b); }
inline IntVec AndInt(IntVec a, IntVec b) { return _mm512_and_si512(a, b); }
inline IntVec OrInt(IntVec a, IntVec b) { return _mm512_or_si512(a, b); }
template <int kBits>
inline IntVec ShiftLeft(IntVec a) {
  return _mm512_slli_epi32(a, kBits);
}
inline Vec ToFloat(IntVec a) { return _mm512_cvtepi32_ps(a); }
inline IntVec ToInt(Vec a) { return _mm512_cvtps_epi32(a); }
// `a` in the lanes where `test` is above `limit`, `b` elsewhere.
inline Vec SelectAbove(Vec test, Vec limit, Vec a, Vec b) {
  return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(test, limit, _CMP_GT_OQ), b, a);
}
inline IntVec Truncate(Vec a) { return _mm512_cvttps_epi32(a); }
inline Vec Abs(Vec a) { return _mm512_abs_ps(a); }
// table[index], each index in 0 .. 15.
inline Vec Lookup16(const float* table, IntVec index) { return _mm512_permutexvar_ps(index, _mm512_load_ps(table)); }
// kWidth half-precision numbers; stored ones are rounded to nearest, ties to even.
inline Vec LoadHalf(const uint16_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
inline void StoreHalf(uint16_t* p, Vec v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
// The low halves of whole numbers.
inline void StoreShort(int16_t* p, IntVec v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(v));
}
// a * 2^n, n a whole number and the result normal.
inline Vec TimesPower(Vec a, Vec n) { return _mm512_scalef_ps(a, n); }

}  // namespace
}  // namespace limbeck

#endif  // LIMBECK_BASE_VEC_AVX512_H_
