// One block of zeroed memory that is handed out in 64-byte aligned pieces and freed as a whole.
//
// Weights and workspaces live in slabs: sizes are known before anything is taken, and huge pages spare the address
// translation that streaming tens of megabytes of weights would cost.
#ifndef LIMBECK_BASE_SLAB_H_
#define LIMBECK_BASE_SLAB_H_

#include <cstddef>
#include <cstdint>

// AddressSanitizer sees one slab as one block; a strip behind each piece that nothing may touch shows it the pieces.
#if defined(__SANITIZE_ADDRESS__)
#define LIMBECK_SLAB_GUARD_BYTES 64
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LIMBECK_SLAB_GUARD_BYTES 64
#endif
#endif
#ifndef LIMBECK_SLAB_GUARD_BYTES
#define LIMBECK_SLAB_GUARD_BYTES 0
#endif

namespace limbeck {

class Slab {
 public:
  Slab() = default;
  // Throws Error when the memory cannot be had.
  explicit Slab(size_t bytes);
  ~Slab();
  Slab(Slab&& other) noexcept;
  Slab& operator=(Slab&& other) noexcept;
  Slab(const Slab&) = delete;
  Slab& operator=(const Slab&) = delete;

  size_t size() const { return size_; }

  // Bytes that a piece of `count` elements takes, alignment and guard included.
  template <typename T>
  static size_t Need(int64_t count) {
    return NeedBytes(static_cast<size_t>(count) * sizeof(T));
  }

  template <typename T>
  T* Take(int64_t count) {
    return static_cast<T*>(TakeBytes(static_cast<size_t>(count) * sizeof(T)));
  }

 private:
  static constexpr size_t kAlignment = 64;
  static size_t NeedBytes(size_t bytes) {
    return (bytes + kAlignment - 1) / kAlignment * kAlignment + LIMBECK_SLAB_GUARD_BYTES;
  }
  void* TakeBytes(size_t bytes);

  char* data_ = nullptr;
  size_t size_ = 0;
  size_t used_ = 0;
};

}  // namespace limbeck

#endif  // LIMBECK_BASE_SLAB_H_
