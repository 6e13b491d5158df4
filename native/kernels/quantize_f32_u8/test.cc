// Half a step of error at the most, an exact zero, and the same bits from every kernel.
#include <cmath>
#include <limits>

#include "tests/check.h"
#include "tests/kernel_cases.h"

namespace {

using namespace limbeck;
using test::Buffer;

struct Result {
  explicit Result(int64_t rows) : q(RoundUp(rows, kQuad) * kLanes, 1), scale(kLanes, 1), zero(kLanes, 1) {}
  Buffer<uint8_t> q;
  Buffer<float> scale;
  Buffer<int32_t> zero;
};

}  // namespace

int main() {
  test::Random random(4);
  const auto kernels = test::Runnable(KernelTable::quantize);
  const QuantizeFn reference = test::Reference(KernelTable::quantize);
  int64_t cases = 0;
  for (int64_t rows = 0; rows <= 35; ++rows) {
    for (int variant = 0; variant < 7; ++variant) {
      Buffer<float> x(rows * kLanes, 1);
      x.FillUniform(random, variant == 1 ? 0.0 : -3.0, variant == 2 ? 0.0 : 5.0);
      if (variant == 3) x.Fill(0.0f);
      if (variant == 4) x.FillUniform(random, -1e30, 1e30);
      if (variant == 5) x.FillUniform(random, -1e-29, 1e-29);
      if (variant == 6) x.FillUniform(random, -1e-38, 1e-38);  // 255 / range would overflow: as good as zero
      Buffer<float> low(kLanes, 1);
      Buffer<float> high(kLanes, 1);
      for (int64_t i = 0; i < x.size(); ++i) {
        low[i % kLanes] = std::fmin(low[i % kLanes], x[i]);
        high[i % kLanes] = std::fmax(high[i % kLanes], x[i]);
      }
      Result expected(rows);
      reference({x.data(), nullptr, nullptr, expected.q.data(), expected.scale.data(), expected.zero.data(), rows});
      for (int64_t i = 0; i < x.size(); ++i) {
        const int64_t row = i / kLanes;
        const int64_t lane = i % kLanes;
        const int q = expected.q[((row / kQuad) * kLanes + lane) * kQuad + row % kQuad];
        const double scale = expected.scale[lane];
        const double back = scale * (q - expected.zero[lane]);
        // Rounding the zero point can push an end of the range half a step beyond 0 .. 255.
        CHECK_THAT(std::fabs(back - x[i]) <= 1.002 * scale, "%g came back as %g, step %g", x[i], back, scale);
        if (q > 0 && q < 255) CHECK_THAT(std::fabs(back - x[i]) <= 0.502 * scale, "%g came back as %g", x[i], back);
      }
      for (int lane = 0; lane < kLanes; ++lane) {
        CHECK_THAT(expected.scale[lane] > 0 && expected.zero[lane] >= 0 && expected.zero[lane] <= 255, "lane %d", lane);
      }
      for (const auto& kernel : kernels) {
        Result found(rows);
        kernel.run({x.data(), nullptr, nullptr, found.q.data(), found.scale.data(), found.zero.data(), rows});
        Result given(rows);
        kernel.run({x.data(), low.data(), high.data(), given.q.data(), given.scale.data(), given.zero.data(), rows});
        for (const Result* result : {&found, &given}) {
          CHECK_THAT(SameBits(result->q, expected.q) && SameBits(result->scale, expected.scale) &&
                         SameBits(result->zero, expected.zero),
                     "%s differs: %d rows, variant %d", kernel.name, int(rows), variant);
        }
      }
      ++cases;
    }
  }
  test::Report(kernels, cases);
  return 0;
}
