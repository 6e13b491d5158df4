// int32 sums -> float outputs, a register at a time. Include after base/math_vec.h.
#ifndef LIMBECK_KERNELS_GEMM_U8S8_S32_EPILOGUE_H_
#define LIMBECK_KERNELS_GEMM_U8S8_S32_EPILOGUE_H_

#include "kernels/gemm_u8s8_s32/gemm_u8s8_s32.h"

namespace limbeck {
namespace {

// `sums` are those of `row` for kWidth tokens of `panel`, starting at `lane`.
template <Activation kActivation>
inline void Finish(const GemmU8S8Args& args, int64_t row, int64_t panel, int64_t lane, IntVec sums) {
  const int64_t token = panel * kLanes + lane;
  const IntVec centred = SubInt(sums, MulInt(LoadInt(args.zero + token), SetInt(args.row_sum[row])));
  const Vec scale = Mul(Load(args.scale + token), Set(args.row_scale[row]));
  Vec y = Activate(kActivation, Fma(ToFloat(centred), scale, Set(args.bias[row])));
  if (args.residual != nullptr) y = Add(y, Load(args.residual + (panel * args.residual_rows + row) * kLanes + lane));
  Store(args.out + (panel * args.out_rows + row) * kLanes + lane, y);
}

}  // namespace
}  // namespace limbeck

#endif  // LIMBECK_KERNELS_GEMM_U8S8_S32_EPILOGUE_H_
