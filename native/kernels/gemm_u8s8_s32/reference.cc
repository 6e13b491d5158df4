#include "base/math_scalar.h"
#include "kernels/gemm_u8s8_s32/gemm_u8s8_s32.h"

namespace limbeck {

void gemm_u8s8_s32_reference(const GemmU8S8Args& args, int64_t group_begin, int64_t group_end, int64_t panel_begin,
                             int64_t panel_end) {
  for (int64_t row = group_begin * kRowGroup; row < group_end * kRowGroup; ++row) {
    const int8_t* w = args.w + ((row / kRowGroup) * args.quads * kRowGroup + row % kRowGroup) * kQuad;
    for (int64_t token = panel_begin * kLanes; token < panel_end * kLanes; ++token) {
      const int64_t panel = token / kLanes;
      const int64_t lane = token % kLanes;
      const uint8_t* a = args.a + (panel * args.quads * kLanes + lane) * kQuad;
      int32_t sum = 0;
      for (int64_t quad = 0; quad < args.quads; ++quad) {
        for (int k = 0; k < kQuad; ++k) {
          sum += static_cast<int32_t>(a[quad * kLanes * kQuad + k]) * w[quad * kRowGroup * kQuad + k];
        }
      }
      const int32_t centred = sum - args.zero[token] * args.row_sum[row];
      const float scale = args.scale[token] * args.row_scale[row];
      float y = ScalarActivate(args.activation, std::fma(static_cast<float>(centred), scale, args.bias[row]));
      if (args.residual != nullptr) y = y + args.residual[(panel * args.residual_rows + row) * kLanes + lane];
      args.out[(panel * args.out_rows + row) * kLanes + lane] = y;
    }
  }
}

}  // namespace limbeck
