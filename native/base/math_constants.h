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

constexpr float kHalfMax = 65504.0f;  // the largest number of IEEE half precision

constexpr float kSqrtHalf = 0.707106781f;
// The tanh form of GELU: x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))).
constexpr float kGeluTanhScale = 0.797884561f;
constexpr float kGeluTanhCube = 0.044715f;

// GELU for what is rounded to eight bits right after it: gelu(x) = max(x, 0) - g(|x|) with g(t) = t (1 - Phi(t)), a
// cubic on each of 16 pieces of [0, 5], and the last one's end beyond. Least squares, reweighted; 5.5e-6 from the truth
// at the most, 0 at 0. Tables of coefficients, lowest power first.
constexpr float kGeluEnd = 5.0f;
constexpr float kGeluPieces = 16.0f;
constexpr float kGeluLast = 15.9999990f;  // the largest place on the table, below kGeluPieces
alignas(64) constexpr float kGeluTail[4][16] = {
    {0e+00f, 1.1791293e-01f, 1.6624077e-01f, 1.6336203e-01f, 1.3206492e-01f, 9.2322744e-02f, 5.6994416e-02f,
     3.1397585e-02f, 1.5524006e-02f, 6.912548e-03f, 2.7779515e-03f, 1.0089402e-03f, 3.3148614e-04f, 9.858358e-05f,
     2.6551037e-05f, 6.4779792e-06f},
    {1.5636076e-01f, 8.090587e-02f, 1.90353e-02f, -2.0922305e-02f, -3.8418453e-02f, -3.907819e-02f, -3.0846901e-02f,
     -2.0451346e-02f, -1.174902e-02f, -5.9395167e-03f, -2.665376e-03f, -1.0675066e-03f, -3.829473e-04f, -1.2335087e-04f,
     -3.5740457e-05f, -9.327714e-06f},
    {-3.963809e-02f, -3.5777863e-02f, -2.585331e-02f, -1.3782817e-02f, -3.4699244e-03f, 2.9097165e-03f, 5.3070337e-03f,
     5.026956e-03f, 3.6185407e-03f, 2.1582968e-03f, 1.1040384e-03f, 4.9284793e-04f, 1.93952e-04f, 6.77224e-05f,
     2.1073534e-05f, 5.862409e-06f},
    {1.1875909e-03f, 3.197235e-03f, 3.93711e-03f, 3.4072977e-03f, 2.1466669e-03f, 8.4114826e-04f, -5.6076133e-05f,
     -4.486819e-04f, -4.8083713e-04f, -3.534229e-04f, -2.0776992e-04f, -1.02873026e-04f, -4.3952452e-05f,
     -1.6425269e-05f, -5.414496e-06f, -1.5833767e-06f},
};
alignas(64) constexpr float kGeluTanhTail[4][16] = {
    {0e+00f, 1.1791588e-01f, 1.6627869e-01f, 1.6349265e-01f, 1.3228846e-01f, 9.252158e-02f, 5.700221e-02f,
     3.1141317e-02f, 1.5084142e-02f, 6.449054e-03f, 2.4156056e-03f, 7.8524754e-04f, 2.1916862e-04f, 5.1921197e-05f,
     1.03159355e-05f, 1.6980559e-06f},
    {1.5636122e-01f, 8.091669e-02f, 1.9099077e-02f, -2.0811679e-02f, -3.8364157e-02f, -3.9188497e-02f, -3.1100085e-02f,
     -2.0699557e-02f, -1.185652e-02f, -5.8875973e-03f, -2.530481e-03f, -9.3525206e-04f, -2.9451348e-04f, -7.817682e-05f,
     -1.7292252e-05f, -3.149551e-06f},
    {-3.9640974e-02f, -3.5759933e-02f, -2.581503e-02f, -1.3777965e-02f, -3.5391685e-03f, 2.8115364e-03f, 5.267685e-03f,
     5.0776177e-03f, 3.7097402e-03f, 2.2235888e-03f, 1.1189561e-03f, 4.7460923e-04f, 1.6896392e-04f, 5.008614e-05f,
     1.2242174e-05f, 2.441074e-06f},
    {1.1929339e-03f, 3.2034528e-03f, 3.9278287e-03f, 3.3847843e-03f, 2.1369152e-03f, 8.5853867e-04f, -2.7638771e-05f,
     -4.3471926e-04f, -4.8813532e-04f, -3.694681e-04f, -2.1893186e-04f, -1.0552328e-04f, -4.1749012e-05f,
     -1.353694e-05f, -3.575329e-06f, -7.628436e-07f},
};

}  // namespace limbeck

#endif  // LIMBECK_BASE_MATH_CONSTANTS_H_
