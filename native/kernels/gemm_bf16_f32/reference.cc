#include "base/math_scalar.h"
#include "kernels/gemm_bf16_f32/gemm_bf16_f32.h"

namespace limbeck {

void gemm_bf16_f32_reference(const GemmBf16Args& args, int64_t group_begin, int64_t group_end, int64_t panel_begin,
                             int64_t panel_end) {
  for (int64_t row = group_begin * kRowGroup; row < group_end * kRowGroup; ++row) {
    const uint16_t* w = args.w + ((row / kRowGroup) * args.pairs * kRowGroup + row % kRowGroup) * kPair;
    for (int64_t token = panel_begin * kLanes; token < panel_end * kLanes; ++token) {
      const int64_t panel = token / kLanes;
      const int64_t lane = token % kLanes;
      const uint16_t* a = args.a + panel * args.a_rows * kLanes + lane * kPair;
      float y = args.bias[row];
      for (int64_t k = 0; k < args.pairs * kPair; ++k) {
        const int64_t pair = k / kPair;
        y = std::fma(ScalarFromBf16(a[pair * kLanes * kPair + k % kPair]),
                     ScalarFromBf16(w[pair * kRowGroup * kPair + k % kPair]), y);
      }
      y = ScalarActivateCoarse(args.activation, y);
      if (args.out != nullptr) {
        const int64_t at = (panel * args.out_rows + row) * kLanes + lane;
        args.out[at] = args.residual == nullptr ? y : y + args.residual[at];
      } else {
        args.out_pairs[panel * args.out_rows * kLanes + (row / kPair * kLanes + lane) * kPair + row % kPair] =
            ScalarToBf16(y);
      }
    }
  }
}

}  // namespace limbeck
