// The set of kernels that a model runs, chosen once, when it is loaded.
#ifndef LIMBECK_KERNELS_KERNELS_H_
#define LIMBECK_KERNELS_KERNELS_H_

#include "kernels/attention_f32/attention_f32.h"
#include "kernels/gemm_f32/gemm_f32.h"
#include "kernels/gemm_u8s8_s32/gemm_u8s8_s32.h"
#include "kernels/layer_norm_f32/layer_norm_f32.h"
#include "kernels/quantize_f32_u8/quantize_f32_u8.h"

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
  Kernel<GemmF32Fn> gemm_f32;
  Kernel<LayerNormFn> layer_norm;
  Kernel<QuantizeFn> quantize;
  Kernel<AttentionFn> attention;
};

// Every listed kernel, best first; tests walk these tables.
struct KernelTable {
  static const Kernel<GemmU8S8Fn> gemm_u8s8[];
  static const Kernel<GemmF32Fn> gemm_f32[];
  static const Kernel<LayerNormFn> layer_norm[];
  static const Kernel<QuantizeFn> quantize[];
  static const Kernel<AttentionFn> attention[];
  static const int isas;  // entries in each table
};

// The best of each list that needs nothing beyond `isa`.
Kernels ChooseKernels(Isa isa);

}  // namespace limbeck

#endif  // LIMBECK_KERNELS_KERNELS_H_
