// int8_output.h, one number at a time, for the reference kernels.
#ifndef LIMBECK_KERNELS_INT8_OUTPUT_SCALAR_H_
#define LIMBECK_KERNELS_INT8_OUTPUT_SCALAR_H_

#include "base/math_scalar.h"
#include "kernels/int8_output.h"

namespace limbeck {

inline void FinishScalar(const Int8Output& output, int64_t row, int64_t token, int32_t sum) {
  const int64_t panel = token / kLanes;
  const int64_t lane = token % kLanes;
  const int32_t centred = sum - output.zero[token] * output.row_sum[row];
  const float scale = output.scale[token] * output.row_scale[row];
  float y = std::fma(static_cast<float>(centred), scale, output.bias[row]);
  const int64_t at = (panel * output.out_rows + row) * kLanes + lane;
  if (output.out != nullptr) {
    output.out[at] = output.residual == nullptr ? y : y + output.residual[at];
    return;
  }
  if (output.fixed.q != nullptr) {
    const FixedRange& fixed = output.fixed;
    if (row >= fixed.quads * kQuad) return;
    y = ScalarMin(ScalarMax(ScalarActivateCoarse(output.activation, y), fixed.low), fixed.high);
    const int32_t q = ScalarToInt(y * fixed.inverse) + fixed.zero;
    fixed.q[((panel * fixed.quads + row / kQuad) * kLanes + lane) * kQuad + row % kQuad] =
        static_cast<uint8_t>(q < 0 ? 0 : (q > 255 ? 255 : q));
    return;
  }
  y = ScalarMin(ScalarMax(ScalarActivateCoarse(output.activation, y), -kHalfMax), kHalfMax);
  output.staged[at] = ScalarToHalf(y);
  output.low[token] = ScalarMin(output.low[token], y);
  output.high[token] = ScalarMax(output.high[token], y);
}

}  // namespace limbeck

#endif  // LIMBECK_KERNELS_INT8_OUTPUT_SCALAR_H_
