// What the int8 linear kernels do with their int32 sums, whether the weights are dense or block-sparse.
//
//   y = fma(float(sum - zero[t] * row_sum[r]), scale[t] * row_scale[r], bias[r])
//   plain:  out = y (+ residual)
//   staged: s = min(max(activate(y), -65504), 65504) as half precision, for the quantiser of the next layer's input,
//           which also needs the range: low[t] = min(low[t], s), high[t] = max(high[t], s), before s is rounded
#ifndef LIMBECK_KERNELS_INT8_OUTPUT_H_
#define LIMBECK_KERNELS_INT8_OUTPUT_H_

#include "base/types.h"

namespace limbeck {

struct Int8Output {
  const float* scale;      // [panels][16], activation = scale * (a - zero)
  const int32_t* zero;     // [panels][16]
  const int32_t* row_sum;  // [groups * 8], sum over k of w
  const float* row_scale;  // [groups * 8]
  const float* bias;       // [groups * 8]
  int64_t out_rows;        // of out, residual and staged
  float* out;              // [panels][out_rows][16]; null: staged
  const float* residual;   // [panels][out_rows][16], or null
  uint16_t* staged;        // [panels][out_rows][16], half precision
  float* low;              // [panels][16], with staged
  float* high;
  Activation activation;  // with staged
};

}  // namespace limbeck

#endif  // LIMBECK_KERNELS_INT8_OUTPUT_H_
