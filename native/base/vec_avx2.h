// 8 floats in a register, for files built with AVX2, FMA and F16C flags. Same names as vec_avx512.h.
#ifndef LIMBECK_BASE_VEC_AVX2_H_
#define LIMBECK_BASE_VEC_AVX2_H_

#include <immintrin.h>

#include "base/types.h"

namespace limbeck {
namespace {

constexpr int kWidth = 8;
using Vec = __m256;
using IntVec = __m256i;

inline Vec Load(const float* p) { return _mm256_loadu_ps(p); }
inline void Store(float* p, Vec v) { _mm256_storeu_ps(p, v); }
inline Vec Set(float x) { return _mm256_set1_ps(x); }
inline Vec Zero() { return _mm256_setzero_ps(); }
inline Vec Add(Vec a, Vec b) { return _mm256_add_ps(a, b); }
inline Vec Sub(Vec a, Vec b) { return _mm256_sub_ps(a, b); }
inline Vec Mul(Vec a, Vec b) { return _mm256_mul_ps(a, b); }
inline Vec Div(Vec a, Vec b) { return _mm256_div_ps(a, b); }
inline Vec Fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
inline Vec Sqrt(Vec a) { return _mm256_sqrt_ps(a); }
inline Vec Min(Vec a, Vec b) { return _mm256_min_ps(a, b); }
inline Vec Max(Vec a, Vec b) { return _mm256_max_ps(a, b); }
inline Vec Round(Vec a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

inline IntVec LoadInt(const int32_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
inline void StoreInt(int32_t* p, IntVec v) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v); }
inline IntVec SetInt(int32_t x) { return _mm256_set1_epi32(x); }
inline IntVec AddInt(IntVec a, IntVec b) { return _mm256_add_epi32(a, b); }
inline IntVec SubInt(IntVec a, IntVec b) { return _mm256_sub_epi32(a, b); }
inline IntVec MulInt(IntVec a, IntVec b) { return _mm256_mullo_epi32(a, b); }
inline IntVec MinInt(IntVec a, IntVec b) { return _mm256_min_epi32(a, b); }
inline IntVec MaxInt(IntVec a, IntVec b) { return _mm256_max_epi32(a, b); }
inline IntVec AndInt(IntVec a, IntVec b) { return _mm256_and_si256(a, b); }
inline IntVec OrInt(IntVec a, IntVec b) { return _mm256_or_si256(a, b); }
template <int kBits>
inline IntVec ShiftLeft(IntVec a) {
  return _mm256_slli_epi32(a, kBits);
}
inline Vec ToFloat(IntVec a) { return _mm256_cvtepi32_ps(a); }
inline IntVec ToInt(Vec a) { return _mm256_cvtps_epi32(a); }
// `a` in the lanes where `test` is above `limit`, `b` elsewhere.
inline Vec SelectAbove(Vec test, Vec limit, Vec a, Vec b) {
  return _mm256_blendv_ps(b, a, _mm256_cmp_ps(test, limit, _CMP_GT_OQ));
}
inline IntVec Truncate(Vec a) { return _mm256_cvttps_epi32(a); }
inline Vec Abs(Vec a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
inline Vec Lookup16(const float* table, IntVec index) {
  const Vec low = _mm256_permutevar8x32_ps(_mm256_load_ps(table), index);
  const Vec high = _mm256_permutevar8x32_ps(_mm256_load_ps(table + 8), index);
  return _mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(index, 28)));  // by bit 3
}
inline Vec LoadHalf(const uint16_t* p) { return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))); }
inline void StoreHalf(uint16_t* p, Vec v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
// Whole numbers that fit 16 bits.
inline void StoreShort(int16_t* p, IntVec v) {
  const __m128i packed = _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), packed);
}
inline Vec TimesPower(Vec a, Vec n) {
  return Mul(a, _mm256_castsi256_ps(ShiftLeft<23>(AddInt(ToInt(n), SetInt(127)))));
}

}  // namespace
}  // namespace limbeck

#endif  // LIMBECK_BASE_VEC_AVX2_H_
