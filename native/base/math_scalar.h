// exp, erf, tanh and the activations, one number at a time: the definition that the vector code follows bit for bit.
#ifndef LIMBECK_BASE_MATH_SCALAR_H_
#define LIMBECK_BASE_MATH_SCALAR_H_

#include <cmath>
#include <cstdint>
#include <cstring>

#include "base/math_constants.h"
#include "base/types.h"

namespace limbeck {

inline float ScalarMin(float a, float b) { return a < b ? a : b; }
inline float ScalarMax(float a, float b) { return a > b ? a : b; }

// Half to even; what int32 cannot hold, NaN among it, becomes its least value, as in the vector instructions.
inline int32_t ScalarToInt(float x) {
  const float rounded = std::nearbyint(x);
  return rounded >= -2147483648.0f && rounded < 2147483648.0f ? static_cast<int32_t>(rounded) : INT32_MIN;
}

inline float ScalarExp(float x) {
  x = ScalarMax(x, kExpLowest);
  const float n = std::nearbyint(x * kLog2E);
  const float r = std::fma(n, -kLn2Low, std::fma(n, -kLn2High, x));
  float p = kExp[4];
  for (int i = 3; i >= 0; --i) p = std::fma(p, r, kExp[i]);
  p = std::fma(p, r * r, r) + 1.0f;
  const uint32_t bits = (static_cast<uint32_t>(ScalarToInt(n)) + 127u) << 23;
  float power;
  std::memcpy(&power, &bits, sizeof(power));
  return p * power;
}

inline float ScalarOddRational(float x, float end, const float* p, const float* q, int degree) {
  x = ScalarMin(ScalarMax(x, -end), end);
  const float t = x * x;
  float numerator = p[degree];
  float denominator = q[degree];
  for (int i = degree - 1; i >= 0; --i) {
    numerator = std::fma(numerator, t, p[i]);
    denominator = std::fma(denominator, t, q[i]);
  }
  const float y = (x * numerator) / denominator;
  return ScalarMin(ScalarMax(y, -1.0f), 1.0f);
}

inline float ScalarErf(float x) { return ScalarOddRational(x, kErfEnd, kErfP, kErfQ, 5); }
inline float ScalarTanh(float x) { return ScalarOddRational(x, kTanhEnd, kTanhP, kTanhQ, 4); }

inline float ScalarTableGelu(float x, const float (&table)[4][16]) {
  const float place = ScalarMin(std::fabs(x) * (kGeluPieces / kGeluEnd), kGeluLast);
  const auto piece = static_cast<int32_t>(place);
  const float r = place - static_cast<float>(piece);
  float tail = std::fma(table[3][piece], r, table[2][piece]);
  tail = std::fma(tail, r, table[1][piece]);
  tail = std::fma(tail, r, table[0][piece]);
  return ScalarMax(x, 0.0f) - tail;
}

inline float ScalarActivate(Activation activation, float x) {
  switch (activation) {
    case Activation::kGelu: {
      const float half = 0.5f * x;
      return std::fma(half, ScalarErf(x * kSqrtHalf), half);
    }
    case Activation::kGeluTanh: {
      const float half = 0.5f * x;
      const float cube = (x * x) * x;
      return std::fma(half, ScalarTanh(kGeluTanhScale * std::fma(kGeluTanhCube, cube, x)), half);
    }
    case Activation::kRelu:
      return ScalarMax(x, 0.0f);
    case Activation::kTanh:
      return ScalarTanh(x);
    case Activation::kIdentity:
      break;
  }
  return x;
}

// For outputs that are rounded to eight bits: both forms of GELU from a table.
inline float ScalarActivateCoarse(Activation activation, float x) {
  if (activation == Activation::kGelu) return ScalarTableGelu(x, kGeluTail);
  if (activation == Activation::kGeluTanh) return ScalarTableGelu(x, kGeluTanhTail);
  return ScalarActivate(activation, x);
}

// The nearest IEEE half-precision number, ties to even; |x| must not exceed kHalfMax.
inline uint16_t ScalarToHalf(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  const auto sign = static_cast<uint16_t>(bits >> 16 & 0x8000);
  const float magnitude = std::fabs(x);
  if (magnitude < 6.103515625e-5f) {  // subnormal in half precision: multiples of 2^-24
    return static_cast<uint16_t>(sign | static_cast<uint16_t>(std::nearbyint(magnitude * 16777216.0f)));
  }
  const uint32_t rounded = (bits & 0x7fffffffu) + 0xfffu + (bits >> 13 & 1);
  return static_cast<uint16_t>(sign | static_cast<uint16_t>((rounded >> 13) - ((127 - 15) << 10)));
}

inline float ScalarFromHalf(uint16_t half) {
  const uint32_t exponent = half >> 10 & 31;
  const uint32_t fraction = half & 1023;
  float magnitude;
  if (exponent == 0) {
    magnitude = static_cast<float>(fraction) * 5.9604644775390625e-8f;
  } else {
    const uint32_t bits = (exponent + 127 - 15) << 23 | fraction << 13;
    std::memcpy(&magnitude, &bits, sizeof(magnitude));
  }
  return (half & 0x8000) != 0 ? -magnitude : magnitude;
}

}  // namespace limbeck

#endif  // LIMBECK_BASE_MATH_SCALAR_H_
