"""Operations of separable nets compiled for this processor: C++ without any library but OpenMP."""
