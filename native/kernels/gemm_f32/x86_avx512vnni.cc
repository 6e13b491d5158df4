// 8 rows x 32 tokens: 16 accumulators.
#include "base/vec_avx512.h"
// (the vector header comes first: it defines what the next ones build on)
#include "base/math_vec.h"
#include "kernels/gemm_f32/gemm_f32.h"

namespace limbeck {
namespace {
constexpr int kTileRows = 8;
constexpr int kTilePanels = 2;
}  // namespace
}  // namespace limbeck

#include "kernels/gemm_f32/body.inc"

namespace limbeck {

void gemm_f32_avx512vnni(const GemmF32Args& args, int64_t group_begin, int64_t group_end, int64_t panel_begin,
                         int64_t panel_end) {
  Dispatch(args, group_begin, group_end, panel_begin, panel_end);
}

}  // namespace limbeck
