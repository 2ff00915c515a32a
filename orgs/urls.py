"""Addresses of people and organizations. allauth's views stand at ours; its names stay, as it looks them up itself."""

from allauth.account import views as account
from allauth.mfa.base import views as mfa
from allauth.mfa.recovery_codes import views as recovery
from allauth.mfa.totp import views as totp
from allauth.mfa.webauthn import views as passkeys
from django.contrib.auth.decorators import login_not_required
from django.urls import path, re_path

from orgs import views, views_account, views_audit, views_joining, views_members, views_support
from orgs.confirming import confirmed
from orgs.views_account import noting_second_factors as noting

RESET_LINK = r"^reset/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>[^/]+)/$"  # as allauth builds it

urlpatterns = [
    path("", views.home, name="home"),
    path("setup/<str:token>/", views.first_owner, name="setup"),
    path("orgs/", views.org_list, name="org_list"),
    path("orgs/new/", views.org_new, name="org_new"),
    path("o/<slug:org_slug>/settings/", views.org_settings, name="settings"),
    path("o/<slug:org_slug>/settings/second-factor/", views_account.who_needs_second_factor, name="second_factor"),
    path("o/<slug:org_slug>/settings/support/", views_support.grant, name="support_grant"),
    path("o/<slug:org_slug>/settings/support/end/", views_support.end, name="support_grant_end"),
    path("o/<slug:org_slug>/audit/", views_audit.audit, name="audit"),
    path("o/<slug:org_slug>/audit.csv", views_audit.audit_csv, name="audit_csv"),
    path("theme/", views.theme, name="theme"),
    # Members, and joining them; removing one and leaving are in keys/urls.py
    path("o/<slug:org_slug>/members/", views_members.members, name="members"),
    path("o/<slug:org_slug>/members/<int:user_id>/", views_members.member, name="member"),
    path("o/<slug:org_slug>/members/<int:user_id>/hand-over/", views_members.hand_over, name="member_hand_over"),
    path("o/<slug:org_slug>/members/invite/", views_members.send, name="invitation_send"),
    path("o/<slug:org_slug>/members/invitations/<uuid:pk>/resend/", views_members.resend, name="invitation_resend"),
    path("o/<slug:org_slug>/members/invitations/<uuid:pk>/withdraw/", views_members.withdraw, name="invitation_withdraw"),
    path("invite/", views_joining.invitation, name="invitation"),
    path("invite/<str:token>/", views_joining.invitation_open, name="invitation_open"),
    # Signing in
    path("signin/", account.login, name="account_login"),
    path("signin/code/", mfa.authenticate, name="mfa_authenticate"),
    path("signin/passkey/", login_not_required(passkeys.login_webauthn), name="mfa_login_webauthn"),
    path("signin/again/", account.reauthenticate, name="account_reauthenticate"),
    path("signin/again/code/", mfa.reauthenticate, name="mfa_reauthenticate"),
    path("signin/again/passkey/", passkeys.reauthenticate_webauthn, name="mfa_reauthenticate_webauthn"),
    path("signin/off/", account.account_inactive, name="account_inactive"),
    path("signout/", views.sign_out, name="account_logout"),
    path("signup/", account.signup, name="account_signup"),  # closed; allauth's mails point to it
    path("reset/", account.password_reset, name="account_reset_password"),
    path("reset/sent/", account.password_reset_done, name="account_reset_password_done"),
    path("reset/done/", account.password_reset_from_key_done, name="account_reset_password_from_key_done"),
    re_path(
        r"^reset/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>[^/]+)/$",
        account.password_reset_from_key,
        name="account_reset_password_from_key",
    ),
    # The account of a person
    path("account/", views.account, name="account"),
    path("account/security/", mfa.index, name="mfa_index"),
    path("account/security/password/", account.password_change, name="account_change_password"),
    path("account/security/password/first/", confirmed()(account.password_set), name="account_set_password"),
    path("account/email/", views_account.email, name="account_new_email"),
    path("account/email/<str:token>/", views_account.confirm_email, name="account_email_confirm"),
    path("account/security/sessions/", views_account.session_list, name="usersessions_list"),
    path("account/security/sessions/<int:pk>/end/", views_account.session_end, name="session_end"),
    path("account/security/codes/", recovery.view_recovery_codes, name="mfa_view_recovery_codes"),
    path("account/security/codes/generate/", noting(recovery.generate_recovery_codes), name="mfa_generate_recovery_codes"),
    path("account/security/app/activate/", noting(totp.activate_totp), name="mfa_activate_totp"),
    path("account/security/app/deactivate/", noting(totp.deactivate_totp), name="mfa_deactivate_totp"),
    path("account/security/passkeys/", passkeys.list_webauthn, name="mfa_list_webauthn"),
    path("account/security/passkeys/add/", noting(passkeys.add_webauthn), name="mfa_add_webauthn"),
    path("account/security/passkeys/<int:pk>/", passkeys.edit_webauthn, name="mfa_edit_webauthn"),
    path("account/security/passkeys/<int:pk>/remove/", noting(passkeys.remove_webauthn), name="mfa_remove_webauthn"),
]
