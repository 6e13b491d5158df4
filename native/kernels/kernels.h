// The set of kernels that a model runs, chosen once, when it is loaded.
#ifndef LIMBECK_KERNELS_KERNELS_H_
#define LIMBECK_KERNELS_KERNELS_H_

#include "kernels/attention_f32/attention_f32.h"
#include "kernels/attention_s16/attention_s16.h"
#include "kernels/gemm_bf16_f32/gemm_bf16_f32.h"
#include "kernels/gemm_f32/gemm_f32.h"
#include "kernels/gemm_u8s8_s32/gemm_u8s8_s32.h"
#include "kernels/layer_norm_f32/layer_norm_f32.h"
#include "kernels/quantize_f32_u8/quantize_f32_u8.h"
#include "kernels/round_f32_bf16/round_f32_bf16.h"
#include "kernels/spmm_u8s8_s32/spmm_u8s8_s32.h"

namespace limbeck {

// A kernel and the name it is listed under.
template <typename Function>
struct Kernel {
  const char* name;
  Isa isa;
  Function run;
};

struct Kernels {
  Kernel<GemmU8S8Fn> gemm_u8s8;
  Kernel<SpmmU8S8Fn> spmm_u8s8;
  Kernel<GemmF32Fn> gemm_f32;
  Kernel<GemmBf16Fn> gemm_bf16;    // the reference's where the CPU lacks the instruction
  Kernel<RoundBf16Fn> round_bf16;  // so too
  Kernel<LayerNormFn> layer_norm;
  Kernel<QuantizeFn> quantize;
  Kernel<AttentionFn> attention;
  Kernel<AttentionFn> attention_s16;
};

// Every kernel of one kind, best first, the reference last. Instruction sets count as a chain, but AVX-512 VNNI does
// not imply AVX-VNNI: a list with a kernel for the latter has one for the former.
template <typename Function>
struct KernelList {
  const Kernel<Function>* first;
  int count;
  const Kernel<Function>* begin() const { return first; }
  const Kernel<Function>* end() const { return first + count; }
  const Kernel<Function>& Best(Isa isa) const {
    for (const Kernel<Function>& kernel : *this) {
      if (kernel.isa <= isa) return kernel;
    }
    return first[count - 1];  // the reference, which needs nothing
  }
};

// What is there; tests and benchmarks walk these lists.
struct KernelTable {
  static const KernelList<GemmU8S8Fn> gemm_u8s8;
  static const KernelList<SpmmU8S8Fn> spmm_u8s8;
  static const KernelList<GemmF32Fn> gemm_f32;
  static const KernelList<GemmBf16Fn> gemm_bf16;
  static const KernelList<RoundBf16Fn> round_bf16;
  static const KernelList<LayerNormFn> layer_norm;
  static const KernelList<QuantizeFn> quantize;
  static const KernelList<AttentionFn> attention;
  static const KernelList<AttentionFn> attention_s16;
};

// The best of each list that needs nothing beyond `isa`.
Kernels ChooseKernels(Isa isa);

}  // namespace limbeck

#endif  // LIMBECK_KERNELS_KERNELS_H_
