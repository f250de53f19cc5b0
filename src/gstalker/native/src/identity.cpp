// What this library was built from and for.
#include "export.h"

#ifndef GST_SOURCE_HASH
#define GST_SOURCE_HASH "unknown"
#endif
#ifndef GST_ISA
#define GST_ISA "unknown"
#endif

GST_EXPORT const char* gst_source_hash() { return GST_SOURCE_HASH; }
GST_EXPORT const char* gst_isa() { return GST_ISA; }
