#include "kernels/gemm_u8s8_s32/gemm_u8s8_s32.h"
#include "kernels/int8_output_scalar.h"

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
      FinishScalar(args.output, row, token, sum);
    }
  }
}

}  // namespace limbeck
