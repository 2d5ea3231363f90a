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
static const unsigned char pages[] = {
#embed "../../docs/pages.md"
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
static const unsigned char page_add_model_picture[] = {
#embed "../../docs/images/page-add-model.webp"
};
static const unsigned char page_apps_new_picture[] = {
#embed "../../docs/images/page-apps-new.webp"
};
static const unsigned char page_apps_one_picture[] = {
#embed "../../docs/images/page-apps-one.webp"
};
static const unsigned char page_apps_picture[] = {
#embed "../../docs/images/page-apps.webp"
};
static const unsigned char page_audit_picture[] = {
#embed "../../docs/images/page-audit.webp"
};
static const unsigned char page_bans_new_picture[] = {
#embed "../../docs/images/page-bans-new.webp"
};
static const unsigned char page_bans_one_picture[] = {
#embed "../../docs/images/page-bans-one.webp"
};
static const unsigned char page_bans_picture[] = {
#embed "../../docs/images/page-bans.webp"
};
static const unsigned char page_billing_picture[] = {
#embed "../../docs/images/page-billing.webp"
};
static const unsigned char page_budgets_new_picture[] = {
#embed "../../docs/images/page-budgets-new.webp"
};
static const unsigned char page_budgets_one_picture[] = {
#embed "../../docs/images/page-budgets-one.webp"
};
static const unsigned char page_budgets_picture[] = {
#embed "../../docs/images/page-budgets.webp"
};
static const unsigned char page_config_publish_picture[] = {
#embed "../../docs/images/page-config-publish.webp"
};
static const unsigned char page_config_versions_picture[] = {
#embed "../../docs/images/page-config-versions.webp"
};
static const unsigned char page_config_picture[] = {
#embed "../../docs/images/page-config.webp"
};
static const unsigned char page_credentials_new_picture[] = {
#embed "../../docs/images/page-credentials-new.webp"
};
static const unsigned char page_credentials_one_picture[] = {
#embed "../../docs/images/page-credentials-one.webp"
};
static const unsigned char page_credentials_picture[] = {
#embed "../../docs/images/page-credentials.webp"
};
static const unsigned char page_data_planes_one_picture[] = {
#embed "../../docs/images/page-data-planes-one.webp"
};
static const unsigned char page_data_planes_picture[] = {
#embed "../../docs/images/page-data-planes.webp"
};
static const unsigned char page_dids_new_picture[] = {
#embed "../../docs/images/page-dids-new.webp"
};
static const unsigned char page_dids_one_picture[] = {
#embed "../../docs/images/page-dids-one.webp"
};
static const unsigned char page_dids_picture[] = {
#embed "../../docs/images/page-dids.webp"
};
static const unsigned char page_docs_guide_picture[] = {
#embed "../../docs/images/page-docs-guide.webp"
};
static const unsigned char page_docs_picture[] = {
#embed "../../docs/images/page-docs.webp"
};
static const unsigned char page_endpoint_health_picture[] = {
#embed "../../docs/images/page-endpoint-health.webp"
};
static const unsigned char page_endpoints_new_picture[] = {
#embed "../../docs/images/page-endpoints-new.webp"
};
static const unsigned char page_endpoints_one_test_call_picture[] = {
#embed "../../docs/images/page-endpoints-one-test-call.webp"
};
static const unsigned char page_endpoints_one_picture[] = {
#embed "../../docs/images/page-endpoints-one.webp"
};
static const unsigned char page_endpoints_picture[] = {
#embed "../../docs/images/page-endpoints.webp"
};
static const unsigned char page_enrollment_tokens_new_picture[] = {
#embed "../../docs/images/page-enrollment-tokens-new.webp"
};
static const unsigned char page_enrollment_tokens_one_picture[] = {
#embed "../../docs/images/page-enrollment-tokens-one.webp"
};
static const unsigned char page_enrollment_tokens_picture[] = {
#embed "../../docs/images/page-enrollment-tokens.webp"
};
static const unsigned char page_failures_picture[] = {
#embed "../../docs/images/page-failures.webp"
};
static const unsigned char page_group_roles_new_picture[] = {
#embed "../../docs/images/page-group-roles-new.webp"
};
static const unsigned char page_group_roles_one_picture[] = {
#embed "../../docs/images/page-group-roles-one.webp"
};
static const unsigned char page_group_roles_picture[] = {
#embed "../../docs/images/page-group-roles.webp"
};
static const unsigned char page_keys_new_picture[] = {
#embed "../../docs/images/page-keys-new.webp"
};
static const unsigned char page_keys_one_picture[] = {
#embed "../../docs/images/page-keys-one.webp"
};
static const unsigned char page_keys_picture[] = {
#embed "../../docs/images/page-keys.webp"
};
static const unsigned char page_kill_switches_new_picture[] = {
#embed "../../docs/images/page-kill-switches-new.webp"
};
static const unsigned char page_kill_switches_one_picture[] = {
#embed "../../docs/images/page-kill-switches-one.webp"
};
static const unsigned char page_kill_switches_picture[] = {
#embed "../../docs/images/page-kill-switches.webp"
};
static const unsigned char page_ledger_picture[] = {
#embed "../../docs/images/page-ledger.webp"
};
static const unsigned char page_limits_new_picture[] = {
#embed "../../docs/images/page-limits-new.webp"
};
static const unsigned char page_limits_one_picture[] = {
#embed "../../docs/images/page-limits-one.webp"
};
static const unsigned char page_limits_picture[] = {
#embed "../../docs/images/page-limits.webp"
};
static const unsigned char page_models_new_picture[] = {
#embed "../../docs/images/page-models-new.webp"
};
static const unsigned char page_models_one_picture[] = {
#embed "../../docs/images/page-models-one.webp"
};
static const unsigned char page_models_picture[] = {
#embed "../../docs/images/page-models.webp"
};
static const unsigned char page_overview_picture[] = {
#embed "../../docs/images/page-overview.webp"
};
static const unsigned char page_people_new_picture[] = {
#embed "../../docs/images/page-people-new.webp"
};
static const unsigned char page_people_one_picture[] = {
#embed "../../docs/images/page-people-one.webp"
};
static const unsigned char page_people_picture[] = {
#embed "../../docs/images/page-people.webp"
};
static const unsigned char page_portal_audit_picture[] = {
#embed "../../docs/images/page-portal-audit.webp"
};
static const unsigned char page_portal_health_picture[] = {
#embed "../../docs/images/page-portal-health.webp"
};
static const unsigned char page_portal_keys_new_picture[] = {
#embed "../../docs/images/page-portal-keys-new.webp"
};
static const unsigned char page_portal_keys_one_revoke_picture[] = {
#embed "../../docs/images/page-portal-keys-one-revoke.webp"
};
static const unsigned char page_portal_keys_one_rotate_picture[] = {
#embed "../../docs/images/page-portal-keys-one-rotate.webp"
};
static const unsigned char page_portal_keys_picture[] = {
#embed "../../docs/images/page-portal-keys.webp"
};
static const unsigned char page_portal_limits_picture[] = {
#embed "../../docs/images/page-portal-limits.webp"
};
static const unsigned char page_portal_of_picture[] = {
#embed "../../docs/images/page-portal-of.webp"
};
static const unsigned char page_portal_usage_picture[] = {
#embed "../../docs/images/page-portal-usage.webp"
};
static const unsigned char page_portal_picture[] = {
#embed "../../docs/images/page-portal.webp"
};
static const unsigned char page_prices_import_picture[] = {
#embed "../../docs/images/page-prices-import.webp"
};
static const unsigned char page_prices_new_picture[] = {
#embed "../../docs/images/page-prices-new.webp"
};
static const unsigned char page_prices_one_picture[] = {
#embed "../../docs/images/page-prices-one.webp"
};
static const unsigned char page_prices_picture[] = {
#embed "../../docs/images/page-prices.webp"
};
static const unsigned char page_projects_new_picture[] = {
#embed "../../docs/images/page-projects-new.webp"
};
static const unsigned char page_projects_one_picture[] = {
#embed "../../docs/images/page-projects-one.webp"
};
static const unsigned char page_projects_picture[] = {
#embed "../../docs/images/page-projects.webp"
};
static const unsigned char page_providers_new_picture[] = {
#embed "../../docs/images/page-providers-new.webp"
};
static const unsigned char page_providers_one_test_call_picture[] = {
#embed "../../docs/images/page-providers-one-test-call.webp"
};
static const unsigned char page_providers_one_picture[] = {
#embed "../../docs/images/page-providers-one.webp"
};
static const unsigned char page_providers_picture[] = {
#embed "../../docs/images/page-providers.webp"
};
static const unsigned char page_requests_one_picture[] = {
#embed "../../docs/images/page-requests-one.webp"
};
static const unsigned char page_requests_picture[] = {
#embed "../../docs/images/page-requests.webp"
};
static const unsigned char page_revoked_grants_new_picture[] = {
#embed "../../docs/images/page-revoked-grants-new.webp"
};
static const unsigned char page_revoked_grants_one_picture[] = {
#embed "../../docs/images/page-revoked-grants-one.webp"
};
static const unsigned char page_revoked_grants_picture[] = {
#embed "../../docs/images/page-revoked-grants.webp"
};
static const unsigned char page_rollouts_new_picture[] = {
#embed "../../docs/images/page-rollouts-new.webp"
};
static const unsigned char page_rollouts_one_picture[] = {
#embed "../../docs/images/page-rollouts-one.webp"
};
static const unsigned char page_rollouts_rollback_picture[] = {
#embed "../../docs/images/page-rollouts-rollback.webp"
};
static const unsigned char page_rollouts_picture[] = {
#embed "../../docs/images/page-rollouts.webp"
};
static const unsigned char page_routes_new_picture[] = {
#embed "../../docs/images/page-routes-new.webp"
};
static const unsigned char page_routes_one_picture[] = {
#embed "../../docs/images/page-routes-one.webp"
};
static const unsigned char page_routes_picture[] = {
#embed "../../docs/images/page-routes.webp"
};
static const unsigned char page_routing_picture[] = {
#embed "../../docs/images/page-routing.webp"
};
static const unsigned char page_sign_in_picture[] = {
#embed "../../docs/images/page-sign-in.webp"
};
static const unsigned char page_signing_secrets_new_picture[] = {
#embed "../../docs/images/page-signing-secrets-new.webp"
};
static const unsigned char page_signing_secrets_one_picture[] = {
#embed "../../docs/images/page-signing-secrets-one.webp"
};
static const unsigned char page_signing_secrets_picture[] = {
#embed "../../docs/images/page-signing-secrets.webp"
};
static const unsigned char page_tenants_new_picture[] = {
#embed "../../docs/images/page-tenants-new.webp"
};
static const unsigned char page_tenants_one_picture[] = {
#embed "../../docs/images/page-tenants-one.webp"
};
static const unsigned char page_tenants_picture[] = {
#embed "../../docs/images/page-tenants.webp"
};
static const unsigned char page_tokens_new_picture[] = {
#embed "../../docs/images/page-tokens-new.webp"
};
static const unsigned char page_tokens_one_picture[] = {
#embed "../../docs/images/page-tokens-one.webp"
};
static const unsigned char page_tokens_picture[] = {
#embed "../../docs/images/page-tokens.webp"
};
static const unsigned char page_usage_picture[] = {
#embed "../../docs/images/page-usage.webp"
};
static const unsigned char page_users_new_picture[] = {
#embed "../../docs/images/page-users-new.webp"
};
static const unsigned char page_users_one_picture[] = {
#embed "../../docs/images/page-users-one.webp"
};
static const unsigned char page_users_picture[] = {
#embed "../../docs/images/page-users.webp"
};
static const unsigned char page_webhooks_new_picture[] = {
#embed "../../docs/images/page-webhooks-new.webp"
};
static const unsigned char page_webhooks_one_picture[] = {
#embed "../../docs/images/page-webhooks-one.webp"
};
static const unsigned char page_webhooks_picture[] = {
#embed "../../docs/images/page-webhooks.webp"
};
static const unsigned char page_workflows_new_picture[] = {
#embed "../../docs/images/page-workflows-new.webp"
};
static const unsigned char page_workflows_one_picture[] = {
#embed "../../docs/images/page-workflows-one.webp"
};
static const unsigned char page_workflows_picture[] = {
#embed "../../docs/images/page-workflows.webp"
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
    GUIDE("pages.md", pages),
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
    GUIDE("images/page-add-model.webp", page_add_model_picture),
    GUIDE("images/page-apps-new.webp", page_apps_new_picture),
    GUIDE("images/page-apps-one.webp", page_apps_one_picture),
    GUIDE("images/page-apps.webp", page_apps_picture),
    GUIDE("images/page-audit.webp", page_audit_picture),
    GUIDE("images/page-bans-new.webp", page_bans_new_picture),
    GUIDE("images/page-bans-one.webp", page_bans_one_picture),
    GUIDE("images/page-bans.webp", page_bans_picture),
    GUIDE("images/page-billing.webp", page_billing_picture),
    GUIDE("images/page-budgets-new.webp", page_budgets_new_picture),
    GUIDE("images/page-budgets-one.webp", page_budgets_one_picture),
    GUIDE("images/page-budgets.webp", page_budgets_picture),
    GUIDE("images/page-config-publish.webp", page_config_publish_picture),
    GUIDE("images/page-config-versions.webp", page_config_versions_picture),
    GUIDE("images/page-config.webp", page_config_picture),
    GUIDE("images/page-credentials-new.webp", page_credentials_new_picture),
    GUIDE("images/page-credentials-one.webp", page_credentials_one_picture),
    GUIDE("images/page-credentials.webp", page_credentials_picture),
    GUIDE("images/page-data-planes-one.webp", page_data_planes_one_picture),
    GUIDE("images/page-data-planes.webp", page_data_planes_picture),
    GUIDE("images/page-dids-new.webp", page_dids_new_picture),
    GUIDE("images/page-dids-one.webp", page_dids_one_picture),
    GUIDE("images/page-dids.webp", page_dids_picture),
    GUIDE("images/page-docs-guide.webp", page_docs_guide_picture),
    GUIDE("images/page-docs.webp", page_docs_picture),
    GUIDE("images/page-endpoint-health.webp", page_endpoint_health_picture),
    GUIDE("images/page-endpoints-new.webp", page_endpoints_new_picture),
    GUIDE("images/page-endpoints-one-test-call.webp", page_endpoints_one_test_call_picture),
    GUIDE("images/page-endpoints-one.webp", page_endpoints_one_picture),
    GUIDE("images/page-endpoints.webp", page_endpoints_picture),
    GUIDE("images/page-enrollment-tokens-new.webp", page_enrollment_tokens_new_picture),
    GUIDE("images/page-enrollment-tokens-one.webp", page_enrollment_tokens_one_picture),
    GUIDE("images/page-enrollment-tokens.webp", page_enrollment_tokens_picture),
    GUIDE("images/page-failures.webp", page_failures_picture),
    GUIDE("images/page-group-roles-new.webp", page_group_roles_new_picture),
    GUIDE("images/page-group-roles-one.webp", page_group_roles_one_picture),
    GUIDE("images/page-group-roles.webp", page_group_roles_picture),
    GUIDE("images/page-keys-new.webp", page_keys_new_picture),
    GUIDE("images/page-keys-one.webp", page_keys_one_picture),
    GUIDE("images/page-keys.webp", page_keys_picture),
    GUIDE("images/page-kill-switches-new.webp", page_kill_switches_new_picture),
    GUIDE("images/page-kill-switches-one.webp", page_kill_switches_one_picture),
    GUIDE("images/page-kill-switches.webp", page_kill_switches_picture),
    GUIDE("images/page-ledger.webp", page_ledger_picture),
    GUIDE("images/page-limits-new.webp", page_limits_new_picture),
    GUIDE("images/page-limits-one.webp", page_limits_one_picture),
    GUIDE("images/page-limits.webp", page_limits_picture),
    GUIDE("images/page-models-new.webp", page_models_new_picture),
    GUIDE("images/page-models-one.webp", page_models_one_picture),
    GUIDE("images/page-models.webp", page_models_picture),
    GUIDE("images/page-overview.webp", page_overview_picture),
    GUIDE("images/page-people-new.webp", page_people_new_picture),
    GUIDE("images/page-people-one.webp", page_people_one_picture),
    GUIDE("images/page-people.webp", page_people_picture),
    GUIDE("images/page-portal-audit.webp", page_portal_audit_picture),
    GUIDE("images/page-portal-health.webp", page_portal_health_picture),
    GUIDE("images/page-portal-keys-new.webp", page_portal_keys_new_picture),
    GUIDE("images/page-portal-keys-one-revoke.webp", page_portal_keys_one_revoke_picture),
    GUIDE("images/page-portal-keys-one-rotate.webp", page_portal_keys_one_rotate_picture),
    GUIDE("images/page-portal-keys.webp", page_portal_keys_picture),
    GUIDE("images/page-portal-limits.webp", page_portal_limits_picture),
    GUIDE("images/page-portal-of.webp", page_portal_of_picture),
    GUIDE("images/page-portal-usage.webp", page_portal_usage_picture),
    GUIDE("images/page-portal.webp", page_portal_picture),
    GUIDE("images/page-prices-import.webp", page_prices_import_picture),
    GUIDE("images/page-prices-new.webp", page_prices_new_picture),
    GUIDE("images/page-prices-one.webp", page_prices_one_picture),
    GUIDE("images/page-prices.webp", page_prices_picture),
    GUIDE("images/page-projects-new.webp", page_projects_new_picture),
    GUIDE("images/page-projects-one.webp", page_projects_one_picture),
    GUIDE("images/page-projects.webp", page_projects_picture),
    GUIDE("images/page-providers-new.webp", page_providers_new_picture),
    GUIDE("images/page-providers-one-test-call.webp", page_providers_one_test_call_picture),
    GUIDE("images/page-providers-one.webp", page_providers_one_picture),
    GUIDE("images/page-providers.webp", page_providers_picture),
    GUIDE("images/page-requests-one.webp", page_requests_one_picture),
    GUIDE("images/page-requests.webp", page_requests_picture),
    GUIDE("images/page-revoked-grants-new.webp", page_revoked_grants_new_picture),
    GUIDE("images/page-revoked-grants-one.webp", page_revoked_grants_one_picture),
    GUIDE("images/page-revoked-grants.webp", page_revoked_grants_picture),
    GUIDE("images/page-rollouts-new.webp", page_rollouts_new_picture),
    GUIDE("images/page-rollouts-one.webp", page_rollouts_one_picture),
    GUIDE("images/page-rollouts-rollback.webp", page_rollouts_rollback_picture),
    GUIDE("images/page-rollouts.webp", page_rollouts_picture),
    GUIDE("images/page-routes-new.webp", page_routes_new_picture),
    GUIDE("images/page-routes-one.webp", page_routes_one_picture),
    GUIDE("images/page-routes.webp", page_routes_picture),
    GUIDE("images/page-routing.webp", page_routing_picture),
    GUIDE("images/page-sign-in.webp", page_sign_in_picture),
    GUIDE("images/page-signing-secrets-new.webp", page_signing_secrets_new_picture),
    GUIDE("images/page-signing-secrets-one.webp", page_signing_secrets_one_picture),
    GUIDE("images/page-signing-secrets.webp", page_signing_secrets_picture),
    GUIDE("images/page-tenants-new.webp", page_tenants_new_picture),
    GUIDE("images/page-tenants-one.webp", page_tenants_one_picture),
    GUIDE("images/page-tenants.webp", page_tenants_picture),
    GUIDE("images/page-tokens-new.webp", page_tokens_new_picture),
    GUIDE("images/page-tokens-one.webp", page_tokens_one_picture),
    GUIDE("images/page-tokens.webp", page_tokens_picture),
    GUIDE("images/page-usage.webp", page_usage_picture),
    GUIDE("images/page-users-new.webp", page_users_new_picture),
    GUIDE("images/page-users-one.webp", page_users_one_picture),
    GUIDE("images/page-users.webp", page_users_picture),
    GUIDE("images/page-webhooks-new.webp", page_webhooks_new_picture),
    GUIDE("images/page-webhooks-one.webp", page_webhooks_one_picture),
    GUIDE("images/page-webhooks.webp", page_webhooks_picture),
    GUIDE("images/page-workflows-new.webp", page_workflows_new_picture),
    GUIDE("images/page-workflows-one.webp", page_workflows_one_picture),
    GUIDE("images/page-workflows.webp", page_workflows_picture),
};

const weir_guide *weir_guides(size_t *count) {
    *count = sizeof(guides) / sizeof(guides[0]);
    return guides;
}
