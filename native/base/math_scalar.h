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

}  // namespace limbeck

#endif  // LIMBECK_BASE_MATH_SCALAR_H_
