// Coefficients of our own exp, erf and tanh, shared by the scalar references and the vector code.
//
// Every instruction set evaluates them in the same order with fused multiply-adds and IEEE division, so that an answer
// has the same bits on every CPU. Fitted by iteratively reweighted least squares on the relative error:
// exp on [-ln 2 / 2, ln 2 / 2], 3.1e-9; erf(x) = x P(x^2) / Q(x^2) on [0, 3.925], 1.9e-8; tanh on [0, 9.02], 2.2e-8
// (2.9e-7 each when evaluated in float32). Beyond those ends float32 rounds to 1.
#ifndef LIMBECK_BASE_MATH_CONSTANTS_H_
#define LIMBECK_BASE_MATH_CONSTANTS_H_

namespace limbeck {

constexpr float kLog2E = 1.44269504f;
// ln 2 in two parts: the first has so few bits that n * kLn2High is exact for every n in use.
constexpr float kLn2High = 0.693359375f;
constexpr float kLn2Low = -2.12194440e-4f;
constexpr float kExpLowest = -87.0f;  // exp stays a normal number from here on; what lies below is taken as this
// exp(r) = 1 + r + r^2 (c[0] + c[1] r + ...)
constexpr float kExp[5] = {0.49999994f, 0.166665211f, 0.041668389f, 0.00836871006f, 0.00138146104f};

constexpr float kErfEnd = 3.925f;
constexpr float kErfP[6] = {1.12837911f, 0.19058454f, 0.0527678952f, 0.00377210602f, 0.000284825597f, 2.04599428e-06f};
constexpr float kErfQ[6] = {1.0f, 0.502233863f, 0.114178747f, 0.014982312f, 0.0011637354f, 3.80464917e-05f};

constexpr float kTanhEnd = 9.02f;
constexpr float kTanhP[5] = {1.0f, 0.133796722f, 0.00349398027f, 2.05825727e-05f, 1.331781e-08f};
constexpr float kTanhQ[5] = {1.0f, 0.467129886f, 0.0258708689f, 0.000328300317f, 7.76150216e-07f};

constexpr float kSqrtHalf = 0.707106781f;
// The tanh form of GELU: x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))).
constexpr float kGeluTanhScale = 0.797884561f;
constexpr float kGeluTanhCube = 0.044715f;

}  // namespace limbeck

#endif  // LIMBECK_BASE_MATH_CONSTANTS_H_
