#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>

// Swift calls no variadic functions: one a kind of argument.

static inline CURLcode weir_curl_set_long(CURL *curl, CURLoption option, long value) { return curl_easy_setopt(curl, option, value); }

// libcurl keeps a copy of every text but that of CURLOPT_POSTFIELDS.
static inline CURLcode weir_curl_set_text(CURL *curl, CURLoption option, const char *value) { return curl_easy_setopt(curl, option, value); }

static inline CURLcode weir_curl_set_pointer(CURL *curl, CURLoption option, void *value) { return curl_easy_setopt(curl, option, value); }

static inline CURLcode weir_curl_set_copied_body(CURL *curl, const void *bytes, size_t count) {
    CURLcode code = curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)count);
    return code != CURLE_OK ? code : curl_easy_setopt(curl, CURLOPT_COPYPOSTFIELDS, bytes);
}

static inline CURLcode weir_curl_set_authorities(CURL *curl, const void *pem, size_t count) {
    struct curl_blob blob = {(void *)pem, count, CURL_BLOB_COPY};
    return curl_easy_setopt(curl, CURLOPT_CAINFO_BLOB, &blob);
}

typedef size_t (*weir_curl_reader)(char *bytes, size_t size, size_t count, void *context);

static inline CURLcode weir_curl_set_reader(CURL *curl, CURLoption option, weir_curl_reader reader) { return curl_easy_setopt(curl, option, reader); }

static inline CURLcode weir_curl_set_socket_opener(CURL *curl, curl_opensocket_callback opener) {
    return curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, opener);
}

static inline CURLcode weir_curl_get_long(CURL *curl, CURLINFO info, long *value) { return curl_easy_getinfo(curl, info, value); }
