#include "kernels/spmm_u8s8_s32/spmm_u8s8_s32.h"

#include "kernels/int8_output_scalar.h"

namespace limbeck {

void spmm_u8s8_s32_reference(const SpmmU8S8Args& args, int64_t group_begin, int64_t group_end, int64_t panel_begin,
                             int64_t panel_end) {
  for (int64_t row = group_begin * kRowGroup; row < group_end * kRowGroup; ++row) {
    const int64_t block_row = row / args.block_rows;
    for (int64_t token = panel_begin * kLanes; token < panel_end * kLanes; ++token) {
      const uint8_t* a = args.a + ((token / kLanes) * args.quads * kLanes + token % kLanes) * kQuad;
      int32_t sum = 0;
      for (int64_t slice = 0; slice < args.slices; ++slice) {
        const int32_t* start = args.start + slice * (args.block_row_count + 1) + block_row;
        for (int32_t block = start[0]; block < start[1]; ++block) {
          const int8_t* w = args.w + (block * args.block_rows + row % args.block_rows) * kQuad;
          for (int k = 0; k < kQuad; ++k) {
            sum += static_cast<int32_t>(a[args.quad[block] * kLanes * kQuad + k]) * w[k];
          }
        }
      }
      FinishScalar(args.output, row, token, sum);
    }
  }
}

}  // namespace limbeck
