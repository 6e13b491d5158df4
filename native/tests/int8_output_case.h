// What int8 linear kernels write, in a test: operands of the output stage, a place for it, and a check of a reference.
#ifndef LIMBECK_TESTS_INT8_OUTPUT_CASE_H_
#define LIMBECK_TESTS_INT8_OUTPUT_CASE_H_

#include <cmath>

#include "base/math_scalar.h"
#include "kernels/int8_output.h"
#include "tests/check.h"

namespace limbeck::test {

enum class Way { kPlain, kResidual, kStaged, kFixed };

// Operands for `rows` output rows and `panels` panels; row_sum is the caller's to fill.
struct OutputOperands {
  OutputOperands(int64_t output_rows, int64_t panels, Random& random)
      : rows(output_rows),
        scale(panels * kLanes, 1),
        zero(panels * kLanes, 1),
        row_sum(rows, 1),
        row_scale(rows, 1),
        bias(rows, 1),
        residual(panels * rows * kLanes, 1) {
    zero.FillIntegers(random, 0, 255);
    scale.FillUniform(random, 1e-4, 0.1);
    row_scale.FillUniform(random, 1e-4, 0.1);
    bias.FillUniform(random, -2, 2);
    residual.FillUniform(random, -2, 2);
  }

  int64_t rows;
  Buffer<float> scale;
  Buffer<int32_t> zero;
  Buffer<int32_t> row_sum;
  Buffer<float> row_scale;
  Buffer<float> bias;
  Buffer<float> residual;
};

// A place for every way of writing; only the one asked for is used.
struct Written {
  Written(int64_t rows, int64_t panels)
      : out(panels * rows * kLanes, 1),
        staged(panels * rows * kLanes, 1),
        low(panels * kLanes, 1),
        high(panels * kLanes, 1),
        quads(rows / kQuad - (rows > kQuad ? 1 : 0)),
        q(panels * quads * kQuad * kLanes, 1) {}

  Int8Output Output(const OutputOperands& operands, Way way, Activation activation) {
    return {operands.scale.data(),
            operands.zero.data(),
            operands.row_sum.data(),
            operands.row_scale.data(),
            operands.bias.data(),
            operands.rows,
            way == Way::kStaged || way == Way::kFixed ? nullptr : out.data(),
            way == Way::kResidual ? operands.residual.data() : nullptr,
            staged.data(),
            low.data(),
            high.data(),
            activation,
            way == Way::kFixed ? Fixed() : FixedRange{}};
  }

  // A range that some outputs lie beyond; one quad fewer than there are rows, as where padding has no place.
  FixedRange Fixed() { return {q.data(), quads, -0.5f, 1.5f, 127.5f, 64}; }

  bool SameAs(const Written& other) const {
    return SameBits(out, other.out) && SameBits(staged, other.staged) && SameBits(low, other.low) &&
           SameBits(high, other.high) && SameBits(q, other.q);
  }

  // Whether what stands at (row, token) comes of `sum`, which is that of w * (a - zero).
  void Check(const OutputOperands& operands, Way way, Activation activation, int64_t row, int64_t token,
             int64_t sum) const {
    CHECK_THAT(std::llabs(sum) < (int64_t{1} << 31), "the case itself overflows");
    const float scale = operands.scale[token] * operands.row_scale[row];
    float y = std::fma(static_cast<float>(sum), scale, operands.bias[row]);
    const int64_t at = (token / kLanes * operands.rows + row) * kLanes + token % kLanes;
    if (way == Way::kStaged) {
      const double exact = ScalarActivate(activation, y);
      const double bound = std::fmin(std::fmax(exact, -65504.0), 65504.0);
      const double got = ScalarFromHalf(staged[at]);
      CHECK_THAT(std::fabs(got - bound) <= 6e-6 + std::fabs(bound) / 2048, "row %d token %d: %g, expected %g",
                 static_cast<int>(row), static_cast<int>(token), got, bound);
      CHECK_THAT(low[token] <= bound + 6e-6 && high[token] >= bound - 6e-6, "token %d: %g is outside its range",
                 static_cast<int>(token), bound);
      return;
    }
    if (way == Way::kFixed) {
      if (row >= quads * kQuad) return;
      const double exact = std::fmin(std::fmax(ScalarActivate(activation, y), -0.5), 1.5);
      const int got = q[((token / kLanes * quads + row / kQuad) * kLanes + token % kLanes) * kQuad + row % kQuad];
      // the zero point pushes the last quarter of a step beyond 255
      CHECK_THAT(std::fabs((got - 64) / 127.5 - exact) <= 6e-6 + 0.51 / 127.5 || (got == 255 && exact > 1.49),
                 "row %d token %d: %d, of %g", static_cast<int>(row), static_cast<int>(token), got, exact);
      return;
    }
    if (way == Way::kResidual) y += operands.residual[at];
    CHECK_THAT(out[at] == y, "row %d token %d: %g, expected %g", static_cast<int>(row), static_cast<int>(token),
               out[at], y);
  }

  Buffer<float> out;
  Buffer<uint16_t> staged;
  Buffer<float> low;
  Buffer<float> high;
  int64_t quads;
  Buffer<uint8_t> q;
};

}  // namespace limbeck::test

#endif  // LIMBECK_TESTS_INT8_OUTPUT_CASE_H_
