// The bf16 kernels that this CPU can run: their instruction set is AVX-512 VNNI with one more extension.
#ifndef LIMBECK_TESTS_BF16_KERNELS_H_
#define LIMBECK_TESTS_BF16_KERNELS_H_

#include "tests/kernel_cases.h"

namespace limbeck::test {

// As Runnable. With LIMBECK_ISA set to AVX-512 VNNI on a CPU that lacks AVX512-BF16 the program ends with 77.
template <typename Function>
std::vector<Kernel<Function>> RunnableBf16(const KernelList<Function>& list) {
  std::vector<Kernel<Function>> found = Runnable(list);
  if (HasBf16()) return found;
  std::erase_if(found, [](const Kernel<Function>& kernel) { return kernel.isa != Isa::kReference; });
  if (found.empty()) {
    std::printf("skipped: this CPU lacks AVX512-BF16\n");
    std::exit(77);
  }
  return found;
}

}  // namespace limbeck::test

#endif  // LIMBECK_TESTS_BF16_KERNELS_H_
