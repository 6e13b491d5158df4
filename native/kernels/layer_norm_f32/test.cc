// The reference against double precision, every kernel against the reference, bit for bit.
#include <cmath>

#include "tests/check.h"
#include "tests/kernel_cases.h"

namespace {

using namespace limbeck;
using test::Buffer;

struct Result {
  explicit Result(int64_t hidden) : y(hidden * kLanes, 1), low(kLanes, 1), high(kLanes, 1) {}
  Buffer<float> y;
  Buffer<float> low;
  Buffer<float> high;
};

}  // namespace

int main() {
  test::Random random(3);
  const auto kernels = test::Runnable(KernelTable::layer_norm);
  const LayerNormFn reference = test::Reference(KernelTable::layer_norm);
  int64_t cases = 0;
  for (int64_t hidden = 1; hidden <= 66; ++hidden) {
    for (double spread : {1e-3, 1.0, 300.0}) {
      Buffer<float> x(hidden * kLanes, 1);
      Buffer<float> gain(hidden, 1);
      Buffer<float> bias(hidden, 1);
      x.FillUniform(random, -spread, 1.5 * spread);
      gain.FillUniform(random, 0.5, 1.5);
      bias.FillUniform(random, -1, 1);
      for (int64_t c = 0; c < hidden; ++c) x[c * kLanes + 5] = 2.0f;  // a lane without variance
      const float eps = 1e-12f;
      const auto run = [&](LayerNormFn kernel, Result& result) {
        kernel(
            {x.data(), result.y.data(), gain.data(), bias.data(), result.low.data(), result.high.data(), hidden, eps});
      };
      Result expected(hidden);
      run(reference, expected);
      for (int lane = 0; lane < kLanes; ++lane) {
        if (lane == 5) continue;
        double mean = 0;
        for (int64_t c = 0; c < hidden; ++c) mean += x[c * kLanes + lane];
        mean /= static_cast<double>(hidden);
        double variance = 0;
        for (int64_t c = 0; c < hidden; ++c) variance += std::pow(x[c * kLanes + lane] - mean, 2);
        variance /= static_cast<double>(hidden);
        double low = 0;
        double high = 0;
        for (int64_t c = 0; c < hidden; ++c) {
          const double y = (x[c * kLanes + lane] - mean) / std::sqrt(variance + eps) * gain[c] + bias[c];
          const double got = expected.y[c * kLanes + lane];
          // One value has no spread to divide by: rounding of the mean decides everything.
          if (hidden > 1) CHECK_THAT(std::fabs(got - y) < 2e-4, "hidden %d: %g, expected %g", int(hidden), got, y);
          low = std::fmin(low, got);
          high = std::fmax(high, got);
        }
        CHECK_THAT(expected.low[lane] == static_cast<float>(low) && expected.high[lane] == static_cast<float>(high),
                   "the range of lane %d is wrong", lane);
      }
      for (const auto& kernel : kernels) {
        Result result(hidden);
        run(kernel.run, result);
        CHECK_THAT(SameBits(result.y, expected.y) && SameBits(result.low, expected.low) &&
                       SameBits(result.high, expected.high),
                   "%s differs at hidden %d", kernel.name, int(hidden));
        Result in_place(hidden);
        std::memcpy(in_place.y.data(), x.data(), sizeof(float) * static_cast<size_t>(x.size()));
        kernel.run({in_place.y.data(), in_place.y.data(), gain.data(), bias.data(), in_place.low.data(),
                    in_place.high.data(), hidden, eps});
        CHECK_THAT(SameBits(in_place.y, expected.y), "%s differs in place at hidden %d", kernel.name, int(hidden));
      }
      ++cases;
    }
  }
  test::Report(kernels, cases);
  return 0;
}
