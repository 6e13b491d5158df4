#include "base/vec_avx2.h"
// (the vector header comes first: it defines what the next ones build on)
#include "base/math_vec.h"
#include "kernels/dot_avx2.h"
#include "kernels/int8_output_vec.h"
#include "kernels/spmm_u8s8_s32/spmm_u8s8_s32.h"

namespace limbeck {
namespace {

constexpr int kMostRows = 4;
constexpr int kBusySums = 4;
constexpr int MostPanels(int rows) { return rows == 1 ? 2 : 1; }

}  // namespace
}  // namespace limbeck

#include "kernels/spmm_u8s8_s32/body.inc"

namespace limbeck {

void spmm_u8s8_s32_avx2(const SpmmU8S8Args& args, int64_t group_begin, int64_t group_end, int64_t panel_begin,
                        int64_t panel_end) {
  Dispatch(args, group_begin, group_end, panel_begin, panel_end);
}

}  // namespace limbeck
