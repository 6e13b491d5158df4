// What the int8 linear kernels do with their int32 sums, whether the weights are dense or block-sparse.
//
//   y = fma(float(sum - zero[t] * row_sum[r]), scale[t] * row_scale[r], bias[r])
//   plain:  out = y (+ residual)
//   staged: s = min(max(activate(y), -65504), 65504) as half precision, for the quantiser of the next layer's input,
//           which also needs the range: low[t] = min(low[t], s), high[t] = max(high[t], s), before s is rounded
//   fixed:  q = clamp(round(min(max(activate(y), low), high) * inverse) + zero, 0, 255), in a range known beforehand
#ifndef LIMBECK_KERNELS_INT8_OUTPUT_H_
#define LIMBECK_KERNELS_INT8_OUTPUT_H_

#include "base/types.h"

namespace limbeck {

// Where eight-bit outputs go, and the range that they span: see quantize_f32_u8.h.
struct FixedRange {
  uint8_t* q = nullptr;  // [panels][quads][16][4]
  int64_t quads = 0;     // rows beyond 4 * quads are not written
  float low = 0.0f;
  float high = 0.0f;
  float inverse = 0.0f;
  int32_t zero = 0;
};

struct Int8Output {
  const float* scale;      // [panels][16], activation = scale * (a - zero)
  const int32_t* zero;     // [panels][16]
  const int32_t* row_sum;  // [groups * 8], sum over k of w
  const float* row_scale;  // [groups * 8]
  const float* bias;       // [groups * 8]
  int64_t out_rows;        // of out, residual and staged
  float* out;              // [panels][out_rows][16]; null: staged, or fixed
  const float* residual;   // [panels][out_rows][16], or null
  uint16_t* staged;        // [panels][out_rows][16], half precision
  float* low;              // [panels][16], with staged
  float* high;
  Activation activation;  // with staged or fixed
  FixedRange fixed = {};  // its q: null where the outputs are staged
};

}  // namespace limbeck

#endif  // LIMBECK_KERNELS_INT8_OUTPUT_H_
