// 4 rows x 16 tokens: 8 accumulators, as many as two multiply-add units with a latency of four keep busy.
#include "base/vec_avx2.h"
// (the vector header comes first: it defines what the next ones build on)
#include "base/math_vec.h"
#include "kernels/gemm_f32/gemm_f32.h"

namespace limbeck {
namespace {
constexpr int kTileRows = 4;
constexpr int kTilePanels = 1;
}  // namespace
}  // namespace limbeck

#include "kernels/gemm_f32/body.inc"

namespace limbeck {

void gemm_f32_avx2(const GemmF32Args& args, int64_t group_begin, int64_t group_end, int64_t panel_begin,
                   int64_t panel_end) {
  Dispatch(args, group_begin, group_end, panel_begin, panel_end);
}

}  // namespace limbeck
