// README.md and the files of docs/ become part of the program, so that it shows the guides wherever it is installed. Each is named twice below; that none is
// forgotten says GuidesTests.

#include "weir_guides.h"

#pragma clang diagnostic ignored "-Wc23-extensions"

static const unsigned char readme[] = {
#embed "../../README.md"
};
static const unsigned char administrators[] = {
#embed "../../docs/administrators.md"
};
static const unsigned char alerts[] = {
#embed "../../docs/alerts.md"
};
static const unsigned char audit[] = {
#embed "../../docs/audit.md"
};
static const unsigned char clients[] = {
#embed "../../docs/clients.md"
};
static const unsigned char console[] = {
#embed "../../docs/console.md"
};
static const unsigned char dialects[] = {
#embed "../../docs/dialects.md"
};
static const unsigned char dids[] = {
#embed "../../docs/dids.md"
};
static const unsigned char first_day[] = {
#embed "../../docs/first-day.md"
};
static const unsigned char invoices[] = {
#embed "../../docs/invoices.md"
};
static const unsigned char limits[] = {
#embed "../../docs/limits.md"
};
static const unsigned char media[] = {
#embed "../../docs/media.md"
};
static const unsigned char money[] = {
#embed "../../docs/money.md"
};
static const unsigned char not[] = {
#embed "../../docs/not.md"
};
static const unsigned char production[] = {
#embed "../../docs/production.md"
};
static const unsigned char providers[] = {
#embed "../../docs/providers.md"
};
static const unsigned char routing[] = {
#embed "../../docs/routing.md"
};
static const unsigned char runbook[] = {
#embed "../../docs/runbook.md"
};
static const unsigned char signing[] = {
#embed "../../docs/signing.md"
};
static const unsigned char workflows[] = {
#embed "../../docs/workflows.md"
};
static const unsigned char console_add_model_picture[] = {
#embed "../../docs/images/console-add-model.webp"
};
static const unsigned char console_audit_picture[] = {
#embed "../../docs/images/console-audit.webp"
};
static const unsigned char console_billing_picture[] = {
#embed "../../docs/images/console-billing.webp"
};
static const unsigned char console_budget_picture[] = {
#embed "../../docs/images/console-budget.webp"
};
static const unsigned char console_configuration_picture[] = {
#embed "../../docs/images/console-configuration.webp"
};
static const unsigned char console_failures_picture[] = {
#embed "../../docs/images/console-failures.webp"
};
static const unsigned char console_fleet_picture[] = {
#embed "../../docs/images/console-fleet.webp"
};
static const unsigned char console_keys_picture[] = {
#embed "../../docs/images/console-keys.webp"
};
static const unsigned char console_limit_picture[] = {
#embed "../../docs/images/console-limit.webp"
};
static const unsigned char console_overview_phone_picture[] = {
#embed "../../docs/images/console-overview-phone.webp"
};
static const unsigned char console_overview_picture[] = {
#embed "../../docs/images/console-overview.webp"
};
static const unsigned char console_prices_picture[] = {
#embed "../../docs/images/console-prices.webp"
};
static const unsigned char console_promote_picture[] = {
#embed "../../docs/images/console-promote.webp"
};
static const unsigned char console_request_picture[] = {
#embed "../../docs/images/console-request.webp"
};
static const unsigned char console_requests_phone_picture[] = {
#embed "../../docs/images/console-requests-phone.webp"
};
static const unsigned char console_requests_picture[] = {
#embed "../../docs/images/console-requests.webp"
};
static const unsigned char console_rollout_phone_picture[] = {
#embed "../../docs/images/console-rollout-phone.webp"
};
static const unsigned char console_rollout_picture[] = {
#embed "../../docs/images/console-rollout.webp"
};
static const unsigned char console_routing_picture[] = {
#embed "../../docs/images/console-routing.webp"
};
static const unsigned char console_usage_picture[] = {
#embed "../../docs/images/console-usage.webp"
};

#define GUIDE(path, bytes) {path, bytes, sizeof(bytes)}

static const weir_guide guides[] = {
    GUIDE("../README.md", readme),
    GUIDE("administrators.md", administrators),
    GUIDE("alerts.md", alerts),
    GUIDE("audit.md", audit),
    GUIDE("clients.md", clients),
    GUIDE("console.md", console),
    GUIDE("dialects.md", dialects),
    GUIDE("dids.md", dids),
    GUIDE("first-day.md", first_day),
    GUIDE("invoices.md", invoices),
    GUIDE("limits.md", limits),
    GUIDE("media.md", media),
    GUIDE("money.md", money),
    GUIDE("not.md", not),
    GUIDE("production.md", production),
    GUIDE("providers.md", providers),
    GUIDE("routing.md", routing),
    GUIDE("runbook.md", runbook),
    GUIDE("signing.md", signing),
    GUIDE("workflows.md", workflows),
    GUIDE("images/console-add-model.webp", console_add_model_picture),
    GUIDE("images/console-audit.webp", console_audit_picture),
    GUIDE("images/console-billing.webp", console_billing_picture),
    GUIDE("images/console-budget.webp", console_budget_picture),
    GUIDE("images/console-configuration.webp", console_configuration_picture),
    GUIDE("images/console-failures.webp", console_failures_picture),
    GUIDE("images/console-fleet.webp", console_fleet_picture),
    GUIDE("images/console-keys.webp", console_keys_picture),
    GUIDE("images/console-limit.webp", console_limit_picture),
    GUIDE("images/console-overview-phone.webp", console_overview_phone_picture),
    GUIDE("images/console-overview.webp", console_overview_picture),
    GUIDE("images/console-prices.webp", console_prices_picture),
    GUIDE("images/console-promote.webp", console_promote_picture),
    GUIDE("images/console-request.webp", console_request_picture),
    GUIDE("images/console-requests-phone.webp", console_requests_phone_picture),
    GUIDE("images/console-requests.webp", console_requests_picture),
    GUIDE("images/console-rollout-phone.webp", console_rollout_phone_picture),
    GUIDE("images/console-rollout.webp", console_rollout_picture),
    GUIDE("images/console-routing.webp", console_routing_picture),
    GUIDE("images/console-usage.webp", console_usage_picture),
};

const weir_guide *weir_guides(size_t *count) {
    *count = sizeof(guides) / sizeof(guides[0]);
    return guides;
}
