#include "base/math_scalar.h"
#include "kernels/layer_norm_f32/layer_norm_f32.h"

namespace limbeck {

void layer_norm_f32_reference(const LayerNormArgs& args) {
  const float size = static_cast<float>(args.hidden);
  for (int lane = 0; lane < kLanes; ++lane) {
    float sum[kNormParts] = {};
    for (int64_t c = 0; c < args.hidden; ++c) sum[c % kNormParts] += args.x[c * kLanes + lane];
    const float mean = ((sum[0] + sum[1]) + (sum[2] + sum[3])) / size;
    float squares[kNormParts] = {};
    for (int64_t c = 0; c < args.hidden; ++c) {
      const float centred = args.x[c * kLanes + lane] - mean;
      squares[c % kNormParts] = std::fma(centred, centred, squares[c % kNormParts]);
    }
    const float variance = ((squares[0] + squares[1]) + (squares[2] + squares[3])) / size;
    const float inverse = 1.0f / std::sqrt(variance + args.eps);
    float low = 0.0f;
    float high = 0.0f;
    for (int64_t c = 0; c < args.hidden; ++c) {
      const float y = std::fma((args.x[c * kLanes + lane] - mean) * inverse, args.gain[c], args.bias[c]);
      args.y[c * kLanes + lane] = y;
      low = ScalarMin(low, y);
      high = ScalarMax(high, y);
    }
    args.low[lane] = low;
    args.high[lane] = high;
  }
}

}  // namespace limbeck
