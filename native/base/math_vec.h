// math_scalar.h, a register at a time. Include after vec_avx2.h or vec_avx512.h.
#ifndef LIMBECK_BASE_MATH_VEC_H_
#define LIMBECK_BASE_MATH_VEC_H_

#include "base/math_constants.h"
#include "base/types.h"

namespace limbeck {
namespace {

inline Vec Exp(Vec x) {
  x = Max(x, Set(kExpLowest));
  const Vec n = Round(Mul(x, Set(kLog2E)));
  const Vec r = Fma(n, Set(-kLn2Low), Fma(n, Set(-kLn2High), x));
  Vec p = Set(kExp[4]);
  p = Fma(p, r, Set(kExp[3]));
  p = Fma(p, r, Set(kExp[2]));
  p = Fma(p, r, Set(kExp[1]));
  p = Fma(p, r, Set(kExp[0]));
  p = Add(Fma(p, Mul(r, r), r), Set(1.0f));
  return TimesPower(p, n);
}

template <int kDegree>
inline Vec OddRational(Vec x, float end, const float* p, const float* q) {
  x = Min(Max(x, Set(-end)), Set(end));
  const Vec t = Mul(x, x);
  Vec numerator = Set(p[kDegree]);
  Vec denominator = Set(q[kDegree]);
#pragma GCC unroll 8
  for (int i = kDegree - 1; i >= 0; --i) {
    numerator = Fma(numerator, t, Set(p[i]));
    denominator = Fma(denominator, t, Set(q[i]));
  }
  return Min(Max(Div(Mul(x, numerator), denominator), Set(-1.0f)), Set(1.0f));
}

inline Vec Erf(Vec x) { return OddRational<5>(x, kErfEnd, kErfP, kErfQ); }
inline Vec Tanh(Vec x) { return OddRational<4>(x, kTanhEnd, kTanhP, kTanhQ); }

inline Vec Activate(Activation activation, Vec x) {
  switch (activation) {
    case Activation::kGelu: {
      const Vec half = Mul(Set(0.5f), x);
      return Fma(half, Erf(Mul(x, Set(kSqrtHalf))), half);
    }
    case Activation::kGeluTanh: {
      const Vec half = Mul(Set(0.5f), x);
      const Vec cube = Mul(Mul(x, x), x);
      return Fma(half, Tanh(Mul(Set(kGeluTanhScale), Fma(Set(kGeluTanhCube), cube, x))), half);
    }
    case Activation::kRelu:
      return Max(x, Zero());
    case Activation::kTanh:
      return Tanh(x);
    case Activation::kIdentity:
      break;
  }
  return x;
}

inline Vec TableGelu(Vec x, const float (&table)[4][16]) {
  const Vec place = Min(Mul(Abs(x), Set(kGeluPieces / kGeluEnd)), Set(kGeluLast));
  const IntVec piece = Truncate(place);
  const Vec r = Sub(place, ToFloat(piece));
  Vec tail = Fma(Lookup16(table[3], piece), r, Lookup16(table[2], piece));
  tail = Fma(tail, r, Lookup16(table[1], piece));
  tail = Fma(tail, r, Lookup16(table[0], piece));
  return Sub(Max(x, Zero()), tail);
}

inline Vec ActivateCoarse(Activation activation, Vec x) {
  if (activation == Activation::kGelu) return TableGelu(x, kGeluTail);
  if (activation == Activation::kGeluTanh) return TableGelu(x, kGeluTanhTail);
  return Activate(activation, x);
}

}  // namespace
}  // namespace limbeck

#endif  // LIMBECK_BASE_MATH_VEC_H_
