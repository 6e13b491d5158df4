#include "base/vec_avx2.h"
// (the vector header comes first: it defines what the next ones build on)
#include "base/math_vec.h"
#include "kernels/dot_avxvnni.h"
#include "kernels/gemm_u8s8_s32/gemm_u8s8_s32.h"
#include "kernels/int8_output_vec.h"

#include "kernels/gemm_u8s8_s32/body_256.inc"

namespace limbeck {

void gemm_u8s8_s32_avxvnni(const GemmU8S8Args& args, int64_t group_begin, int64_t group_end, int64_t panel_begin,
                           int64_t panel_end) {
  Dispatch(args, group_begin, group_end, panel_begin, panel_end);
}

}  // namespace limbeck
