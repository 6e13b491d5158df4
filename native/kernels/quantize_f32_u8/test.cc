// Half a step of error at the most, an exact zero, and the same bits from every kernel.
#include <cmath>
#include <iterator>
#include <limits>

#include "base/math_scalar.h"
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

// Infinities and NaN, which weights that overflow bring about: bytes all the same, and the same ones from every kernel.
void TestBeyondFloat() {
  const float infinity = std::numeric_limits<float>::infinity();
  const float values[] = {infinity, -infinity, std::numeric_limits<float>::quiet_NaN(), 3e38f, -3e38f, 1.0f, 0.0f};
  test::Random random(5);
  std::uniform_int_distribution<size_t> draw(0, std::size(values) - 1);
  for (int64_t rows = 1; rows <= 9; ++rows) {
    for (int round = 0; round < 50; ++round) {
      Buffer<float> x(rows * kLanes, 1);
      for (int64_t i = 0; i < x.size(); ++i) x[i] = values[draw(random)];
      Result expected(rows);
      test::Reference(KernelTable::quantize)(
          {x.data(), nullptr, nullptr, expected.q.data(), expected.scale.data(), expected.zero.data(), rows});
      for (int lane = 0; lane < kLanes; ++lane) {
        CHECK_THAT(expected.zero[lane] >= 0 && expected.zero[lane] <= 255, "zero point %d", expected.zero[lane]);
      }
      for (const auto& kernel : test::Runnable(KernelTable::quantize)) {
        Result found(rows);
        kernel.run({x.data(), nullptr, nullptr, found.q.data(), found.scale.data(), found.zero.data(), rows});
        CHECK_THAT(SameBits(found.q, expected.q) && SameBits(found.scale, expected.scale) &&
                       SameBits(found.zero, expected.zero),
                   "%s differs beyond float: %d rows", kernel.name, int(rows));
      }
    }
  }
}

// Half-precision input is the same numbers in another format: the same bytes as from the floats that it stands for.
void TestHalf() {
  test::Random random(6);
  for (int64_t rows = 0; rows <= 19; ++rows) {
    Buffer<float> x(rows * kLanes, 1);
    x.FillUniform(random, -3.0, rows % 3 == 0 ? 60000.0 : 0.01);
    Buffer<uint16_t> half(rows * kLanes, 1);
    Buffer<float> low(kLanes, 1);
    Buffer<float> high(kLanes, 1);
    for (int64_t i = 0; i < x.size(); ++i) {
      half[i] = ScalarToHalf(x[i]);
      CHECK_THAT(std::fabs(ScalarFromHalf(half[i]) - x[i]) <= 3e-8 + std::fabs(x[i]) / 2048, "%g became %g", x[i],
                 ScalarFromHalf(half[i]));
      x[i] = ScalarFromHalf(half[i]);
      low[i % kLanes] = std::fmin(low[i % kLanes], x[i]);
      high[i % kLanes] = std::fmax(high[i % kLanes], x[i]);
    }
    Result expected(rows);
    test::Reference(KernelTable::quantize)(
        {x.data(), low.data(), high.data(), expected.q.data(), expected.scale.data(), expected.zero.data(), rows});
    auto kernels = test::Runnable(KernelTable::quantize);
    kernels.push_back({"reference", Isa::kReference, test::Reference(KernelTable::quantize)});
    for (const auto& kernel : kernels) {
      Result found(rows);
      kernel.run(
          {nullptr, low.data(), high.data(), found.q.data(), found.scale.data(), found.zero.data(), rows, half.data()});
      CHECK_THAT(
          SameBits(found.q, expected.q) && SameBits(found.scale, expected.scale) && SameBits(found.zero, expected.zero),
          "%s differs on half precision: %d rows", kernel.name, int(rows));
    }
  }
}

// A range that is not the input's own: what lies beyond it becomes its nearer end, however far off.
void TestFixed() {
  test::Random random(7);
  for (int64_t rows = 0; rows <= 19; ++rows) {
    Buffer<float> x(rows * kLanes, 1);
    x.FillUniform(random, -3.0, 3.0);
    for (int64_t i = 0; i < x.size(); i += 7) x[i] *= 1e30f;
    Buffer<float> low(kLanes, 1);
    Buffer<float> high(kLanes, 1);
    low.Fill(-1.0f);
    high.Fill(2.0f);
    Result expected(rows);
    test::Reference(KernelTable::quantize)({x.data(), low.data(), high.data(), expected.q.data(), expected.scale.data(),
                                            expected.zero.data(), rows, nullptr, true});
    for (int64_t i = 0; i < x.size(); ++i) {
      const int64_t lane = i % kLanes;
      const int q = expected.q[((i / kLanes / kQuad) * kLanes + lane) * kQuad + i / kLanes % kQuad];
      const double within = std::fmin(std::fmax(x[i], -1.0f), 2.0f);
      const double back = expected.scale[lane] * (q - expected.zero[lane]);
      CHECK_THAT(std::fabs(back - within) <= 0.502 * expected.scale[lane], "%g came back as %g", x[i], back);
    }
    for (const auto& kernel : test::Runnable(KernelTable::quantize)) {
      Result found(rows);
      kernel.run({x.data(), low.data(), high.data(), found.q.data(), found.scale.data(), found.zero.data(), rows,
                  nullptr, true});
      CHECK_THAT(
          SameBits(found.q, expected.q) && SameBits(found.scale, expected.scale) && SameBits(found.zero, expected.zero),
          "%s differs in a fixed range: %d rows", kernel.name, int(rows));
    }
  }
}

}  // namespace

int main() {
  TestBeyondFloat();
  TestFixed();
  TestHalf();
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
