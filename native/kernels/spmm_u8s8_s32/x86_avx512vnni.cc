#include "base/vec_avx512.h"
// (the vector header comes first: it defines what the next ones build on)
#include "base/math_vec.h"
#include "kernels/dot_avx512vnni.h"
#include "kernels/int8_output_vec.h"
#include "kernels/spmm_u8s8_s32/spmm_u8s8_s32.h"

namespace limbeck {
namespace {

constexpr int kBlocksAtOnce = 1;
constexpr int kMostRows = 8;
constexpr int kBusySums = 8;
constexpr int MostPanels(int rows) { return rows == 8 ? 2 : 4; }

template <bool>
inline Lanes LoadLanes(const uint8_t* a, const uint16_t* quad) {
  return LoadLanes(a + *quad * (kLanes * kQuad));
}
inline Weights LoadWeights(const int8_t* w, int) { return LoadWeights(w); }

}  // namespace
}  // namespace limbeck

#include "kernels/spmm_u8s8_s32/body.inc"

namespace limbeck {

void spmm_u8s8_s32_avx512vnni(const SpmmU8S8Args& args, int64_t group_begin, int64_t group_end, int64_t panel_begin,
                              int64_t panel_end) {
  Dispatch(args, group_begin, group_end, panel_begin, panel_end);
}

}  // namespace limbeck
