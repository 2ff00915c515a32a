"""Addresses below /o/<org>/ of provider keys and client keys."""

from django.urls import path

from keys.views import adding, client_keys, provider_keys, replacing, restricting, routing, routing_policy, trying

urlpatterns = [
    path("providers/", provider_keys.key_list, name="provider_key_list"),
    path("providers/add/", adding.picker, name="provider_picker"),
    path("providers/add/<slug:provider>/", adding.add, name="provider_key_add"),
    path("providers/<uuid:pk>/", provider_keys.key_page, name="provider_key"),
    path("providers/<uuid:pk>/always/", restricting.always, name="provider_key_always"),
    path("providers/<uuid:pk>/credential/", replacing.replace, name="provider_key_replace"),
    path("providers/<uuid:pk>/credential/<int:version>/", replacing.restore, name="provider_key_restore"),
    path("providers/<uuid:pk>/delete/", provider_keys.remove, name="provider_key_remove"),
    path("providers/<uuid:pk>/limits/", restricting.limits, name="provider_key_limits"),
    path("providers/<uuid:pk>/models/", provider_keys.set_models, name="provider_key_models"),
    path("providers/<uuid:pk>/off/", provider_keys.turn_off, name="provider_key_disable"),
    path("providers/<uuid:pk>/on/", provider_keys.turn_on, name="provider_key_enable"),
    path("providers/<uuid:pk>/rename/", replacing.rename, name="provider_key_rename"),
    path("providers/<uuid:pk>/test/", provider_keys.test, name="provider_key_test"),
    path("client-keys/", client_keys.key_list, name="client_key_list"),
    path("client-keys/new/", client_keys.new, name="client_key_new"),
    path("client-keys/<uuid:pk>/", client_keys.key_page, name="client_key"),
    path("client-keys/<uuid:pk>/pause/", client_keys.pause, name="client_key_pause"),
    path("client-keys/<uuid:pk>/preferences/", client_keys.prefer, name="client_key_preferences"),
    path("client-keys/<uuid:pk>/resume/", client_keys.resume, name="client_key_resume"),
    path("client-keys/<uuid:pk>/revoke/", client_keys.revoke, name="client_key_revoke"),
    path("routing/", routing.page, name="routing"),
    path("routing/fallback/", routing_policy.set_fallback, name="routing_fallback"),
    path("routing/order/", routing.set_order, name="routing_order"),
    path("routing/own-keys/off/", routing_policy.own_keys_off, name="routing_own_keys_off"),
    path("routing/own-keys/on/", routing_policy.own_keys_on, name="routing_own_keys_on"),
    path("routing/pause/", routing_policy.pause, name="routing_pause"),
    path("routing/preferences/", routing_policy.preferences_page, name="routing_preferences"),
    path("routing/preferences/set/", routing_policy.set_preferences, name="routing_preferences_set"),
    path("routing/resume/", routing_policy.resume, name="routing_resume"),
    path("routing/try/", trying.try_model, name="routing_try"),
    path("routing/<slug:provider>/", routing_policy.provider_page, name="provider_routing"),  # after all other routing/…/
    path("routing/<slug:provider>/pause/", routing_policy.pause_provider, name="provider_routing_pause"),
    path("routing/<slug:provider>/resume/", routing_policy.resume_provider, name="provider_routing_resume"),
    path("routing/<slug:provider>/set/", routing_policy.set_provider, name="provider_routing_set"),
]
