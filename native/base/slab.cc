#include "base/slab.h"

#include <sys/mman.h>

#include <cassert>
#include <string>
#include <utility>

#include "base/error.h"

#if LIMBECK_SLAB_GUARD_BYTES > 0
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

namespace limbeck {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

}  // namespace

Slab::Slab(size_t bytes) : size_(bytes) {
  if (bytes == 0) return;
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw Error("out of memory: " + std::to_string(bytes) + " bytes could not be had");
  // Only a hint, and only where it cannot round a small slab up by more than a few per cent.
  if (bytes >= 8 * kHugePage) madvise(memory, bytes, MADV_HUGEPAGE);
  data_ = static_cast<char*>(memory);
  ASAN_POISON_MEMORY_REGION(data_, size_);
}

Slab::~Slab() {
  if (data_ == nullptr) return;
  ASAN_UNPOISON_MEMORY_REGION(data_, size_);
  munmap(data_, size_);
}

Slab::Slab(Slab&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      used_(std::exchange(other.used_, 0)) {}

Slab& Slab::operator=(Slab&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(used_, other.used_);
  return *this;
}

void* Slab::TakeBytes(size_t bytes) {
  assert(NeedBytes(bytes) <= size_ - used_);
  void* piece = data_ + used_;
  used_ += NeedBytes(bytes);
  ASAN_UNPOISON_MEMORY_REGION(piece, bytes);
  return piece;
}

}  // namespace limbeck
