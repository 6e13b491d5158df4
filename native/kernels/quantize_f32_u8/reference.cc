#include "base/math_scalar.h"
#include "kernels/quantize_f32_u8/quantize_f32_u8.h"

namespace limbeck {

void quantize_f32_u8_reference(const QuantizeArgs& args) {
  for (int lane = 0; lane < kLanes; ++lane) {
    const bool known = args.low != nullptr && args.high != nullptr;
    float low = known ? args.low[lane] : 0.0f;
    float high = known ? args.high[lane] : 0.0f;
    for (int64_t row = 0; row < args.rows && !known; ++row) {
      low = ScalarMin(low, args.x[row * kLanes + lane]);
      high = ScalarMax(high, args.x[row * kLanes + lane]);
    }
    const float range = high - low;
    const bool flat = !(range > kFlatRange);
    const float inverse = flat ? 0.0f : 255.0f / range;
    int32_t zero = ScalarToInt((0.0f - low) * inverse);
    zero = zero < 0 ? 0 : (zero > 255 ? 255 : zero);
    args.scale[lane] = flat ? 1.0f : range * (1.0f / 255.0f);
    args.zero[lane] = zero;
    for (int64_t row = 0; row < RoundUp(args.rows, kQuad); ++row) {
      int32_t q = 0;
      if (row < args.rows) {
        const int64_t at = row * kLanes + lane;
        float x = args.x != nullptr ? args.x[at] : ScalarFromHalf(args.half[at]);
        if (args.fixed) x = ScalarMin(ScalarMax(x, low), high);
        q = ScalarToInt(x * inverse) + zero;
      }
      q = q < 0 ? 0 : (q > 255 ? 255 : q);
      args.q[((row / kQuad) * kLanes + lane) * kQuad + row % kQuad] = static_cast<uint8_t>(q);
    }
  }
}

}  // namespace limbeck
