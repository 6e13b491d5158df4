#include "kernels/kernels.h"

#include <iterator>

namespace limbeck {
namespace {

template <typename Function, size_t kCount>
Kernel<Function> Best(const Kernel<Function> (&table)[kCount], Isa isa) {
  for (const Kernel<Function>& kernel : table) {
    if (kernel.isa <= isa) return kernel;
  }
  return table[kCount - 1];  // the reference, which needs nothing
}

}  // namespace

#define LIMBECK_KERNEL(function, isa) {#function, isa, function},
const Kernel<GemmU8S8Fn> KernelTable::gemm_u8s8[] = {
#include "kernels/gemm_u8s8_s32/list.inc"
};
const Kernel<GemmF32Fn> KernelTable::gemm_f32[] = {
#include "kernels/gemm_f32/list.inc"
};
const Kernel<LayerNormFn> KernelTable::layer_norm[] = {
#include "kernels/layer_norm_f32/list.inc"
};
const Kernel<QuantizeFn> KernelTable::quantize[] = {
#include "kernels/quantize_f32_u8/list.inc"
};
const Kernel<AttentionFn> KernelTable::attention[] = {
#include "kernels/attention_f32/list.inc"
};
#undef LIMBECK_KERNEL

const int KernelTable::isas = static_cast<int>(std::size(KernelTable::gemm_u8s8));

Kernels ChooseKernels(Isa isa) {
  return {Best(KernelTable::gemm_u8s8, isa), Best(KernelTable::gemm_f32, isa), Best(KernelTable::layer_norm, isa),
          Best(KernelTable::quantize, isa), Best(KernelTable::attention, isa)};
}

}  // namespace limbeck
