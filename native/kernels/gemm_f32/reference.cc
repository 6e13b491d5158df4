#include "base/math_scalar.h"
#include "kernels/gemm_f32/gemm_f32.h"

namespace limbeck {

void gemm_f32_reference(const GemmF32Args& args, int64_t group_begin, int64_t group_end, int64_t panel_begin,
                        int64_t panel_end) {
  for (int64_t row = group_begin * kRowGroup; row < group_end * kRowGroup; ++row) {
    const float* w = args.w + (row / kRowGroup) * args.inputs * kRowGroup + row % kRowGroup;
    for (int64_t token = panel_begin * kLanes; token < panel_end * kLanes; ++token) {
      const int64_t panel = token / kLanes;
      const int64_t lane = token % kLanes;
      const float* a = args.a + panel * args.a_rows * kLanes + lane;
      float y = args.bias[row];
      for (int64_t k = 0; k < args.inputs; ++k) y = std::fma(a[k * kLanes], w[k * kRowGroup], y);
      y = ScalarActivate(args.activation, y);
      if (args.residual != nullptr) y = y + args.residual[(panel * args.residual_rows + row) * kLanes + lane];
      args.out[(panel * args.out_rows + row) * kLanes + lane] = y;
    }
  }
}

}  // namespace limbeck
