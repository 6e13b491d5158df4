// One block of zeroed memory that is handed out in 64-byte aligned pieces and freed as a whole.
//
// Weights and workspaces live in slabs: sizes are known before anything is taken, and huge pages spare the address
// translation that streaming tens of megabytes of weights would cost.
#ifndef LIMBECK_BASE_SLAB_H_
#define LIMBECK_BASE_SLAB_H_

#include <cstddef>
#include <cstdint>

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

  // Bytes that a piece of `count` elements takes, alignment included.
  template <typename T>
  static size_t Need(int64_t count) {
    return (static_cast<size_t>(count) * sizeof(T) + kAlignment - 1) / kAlignment * kAlignment;
  }

  template <typename T>
  T* Take(int64_t count) {
    return static_cast<T*>(TakeBytes(Need<T>(count)));
  }

 private:
  static constexpr size_t kAlignment = 64;
  void* TakeBytes(size_t bytes);

  char* data_ = nullptr;
  size_t size_ = 0;
  size_t used_ = 0;
};

}  // namespace limbeck

#endif  // LIMBECK_BASE_SLAB_H_
