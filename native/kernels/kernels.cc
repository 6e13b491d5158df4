#include "kernels/kernels.h"

#include <iterator>

#include "base/cpu.h"

namespace limbeck {
namespace {

template <typename Function, size_t kCount>
constexpr KernelList<Function> List(const Kernel<Function> (&table)[kCount]) {
  return {table, static_cast<int>(kCount)};
}

#define LIMBECK_KERNEL(function, isa) {#function, isa, function},
constexpr Kernel<GemmU8S8Fn> kGemmU8S8[] = {
#include "kernels/gemm_u8s8_s32/list.inc"
};
constexpr Kernel<SpmmU8S8Fn> kSpmmU8S8[] = {
#include "kernels/spmm_u8s8_s32/list.inc"
};
constexpr Kernel<GemmF32Fn> kGemmF32[] = {
#include "kernels/gemm_f32/list.inc"
};
constexpr Kernel<GemmBf16Fn> kGemmBf16[] = {
#include "kernels/gemm_bf16_f32/list.inc"
};
constexpr Kernel<RoundBf16Fn> kRoundBf16[] = {
#include "kernels/round_f32_bf16/list.inc"
};
constexpr Kernel<LayerNormFn> kLayerNorm[] = {
#include "kernels/layer_norm_f32/list.inc"
};
constexpr Kernel<QuantizeFn> kQuantize[] = {
#include "kernels/quantize_f32_u8/list.inc"
};
constexpr Kernel<AttentionFn> kAttention[] = {
#include "kernels/attention_f32/list.inc"
};
constexpr Kernel<AttentionFn> kAttentionS16[] = {
#include "kernels/attention_s16/list.inc"
};
#undef LIMBECK_KERNEL

}  // namespace

const KernelList<GemmU8S8Fn> KernelTable::gemm_u8s8 = List(kGemmU8S8);
const KernelList<SpmmU8S8Fn> KernelTable::spmm_u8s8 = List(kSpmmU8S8);
const KernelList<GemmF32Fn> KernelTable::gemm_f32 = List(kGemmF32);
const KernelList<GemmBf16Fn> KernelTable::gemm_bf16 = List(kGemmBf16);
const KernelList<RoundBf16Fn> KernelTable::round_bf16 = List(kRoundBf16);
const KernelList<LayerNormFn> KernelTable::layer_norm = List(kLayerNorm);
const KernelList<QuantizeFn> KernelTable::quantize = List(kQuantize);
const KernelList<AttentionFn> KernelTable::attention = List(kAttention);
const KernelList<AttentionFn> KernelTable::attention_s16 = List(kAttentionS16);

Kernels ChooseKernels(Isa isa) {
  const Isa bf16 = HasBf16() ? isa : Isa::kReference;
  return {KernelTable::gemm_u8s8.Best(isa),  KernelTable::spmm_u8s8.Best(isa),   KernelTable::gemm_f32.Best(isa),
          KernelTable::gemm_bf16.Best(bf16), KernelTable::round_bf16.Best(bf16), KernelTable::layer_norm.Best(isa),
          KernelTable::quantize.Best(isa),   KernelTable::attention.Best(isa),   KernelTable::attention_s16.Best(isa)};
}

}  // namespace limbeck
