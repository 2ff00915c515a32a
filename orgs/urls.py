"""Addresses of people and organizations. allauth's views stand at ours; its names stay, as it looks them up itself."""

from allauth.account import views as signing_in
from allauth.mfa.base import views as mfa
from allauth.mfa.recovery_codes import views as recovery
from allauth.mfa.totp import views as totp
from allauth.mfa.webauthn import views as passkeys
from django.contrib.auth.decorators import login_not_required
from django.urls import path, re_path

from orgs.confirming import confirmed
from orgs.views import account, audit, joining, members, organizations, support
from orgs.views.account import noting_second_factors as noting

urlpatterns = [
    path("", organizations.home, name="home"),
    path("setup/<str:token>/", organizations.first_owner, name="setup"),
    path("orgs/", organizations.org_list, name="org_list"),
    path("orgs/new/", organizations.org_new, name="org_new"),
    path("o/<slug:org_slug>/settings/", organizations.org_settings, name="settings"),
    path("o/<slug:org_slug>/settings/second-factor/", account.who_needs_second_factor, name="second_factor"),
    path("o/<slug:org_slug>/settings/support/", support.grant, name="support_grant"),
    path("o/<slug:org_slug>/settings/support/end/", support.end, name="support_grant_end"),
    path("o/<slug:org_slug>/audit/", audit.audit, name="audit"),
    path("o/<slug:org_slug>/audit.csv", audit.audit_csv, name="audit_csv"),
    path("theme/", account.theme, name="theme"),
    # Members, and joining them; removing one and leaving are in keys/urls.py
    path("o/<slug:org_slug>/members/", members.members, name="members"),
    path("o/<slug:org_slug>/members/<int:user_id>/", members.member, name="member"),
    path("o/<slug:org_slug>/members/<int:user_id>/hand-over/", members.hand_over, name="member_hand_over"),
    path("o/<slug:org_slug>/members/invite/", members.send, name="invitation_send"),
    path("o/<slug:org_slug>/members/invitations/<uuid:pk>/resend/", members.resend, name="invitation_resend"),
    path("o/<slug:org_slug>/members/invitations/<uuid:pk>/withdraw/", members.withdraw, name="invitation_withdraw"),
    path("invite/", joining.invitation, name="invitation"),
    path("invite/<str:token>/", joining.invitation_open, name="invitation_open"),
    # Signing in
    path("signin/", signing_in.login, name="account_login"),
    path("signin/code/", mfa.authenticate, name="mfa_authenticate"),
    path("signin/passkey/", login_not_required(passkeys.login_webauthn), name="mfa_login_webauthn"),
    path("signin/again/", signing_in.reauthenticate, name="account_reauthenticate"),
    path("signin/again/code/", mfa.reauthenticate, name="mfa_reauthenticate"),
    path("signin/again/passkey/", passkeys.reauthenticate_webauthn, name="mfa_reauthenticate_webauthn"),
    path("signin/off/", signing_in.account_inactive, name="account_inactive"),
    path("signout/", account.sign_out, name="account_logout"),
    path("signup/", signing_in.signup, name="account_signup"),  # closed; allauth's mails point to it
    path("reset/", signing_in.password_reset, name="account_reset_password"),
    path("reset/sent/", signing_in.password_reset_done, name="account_reset_password_done"),
    path("reset/done/", signing_in.password_reset_from_key_done, name="account_reset_password_from_key_done"),
    re_path(
        r"^reset/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>[^/]+)/$",
        signing_in.password_reset_from_key,
        name="account_reset_password_from_key",
    ),
    # The account of a person
    path("account/", account.profile, name="account"),
    path("account/security/", mfa.index, name="mfa_index"),
    path("account/security/password/", signing_in.password_change, name="account_change_password"),
    path("account/security/password/first/", confirmed()(signing_in.password_set), name="account_set_password"),
    path("account/email/", account.email, name="account_new_email"),
    path("account/email/<str:token>/", account.confirm_email, name="account_email_confirm"),
    path("account/security/sessions/", account.session_list, name="usersessions_list"),
    path("account/security/sessions/<int:pk>/end/", account.session_end, name="session_end"),
    path("account/security/codes/", recovery.view_recovery_codes, name="mfa_view_recovery_codes"),
    path("account/security/codes/generate/", noting(recovery.generate_recovery_codes), name="mfa_generate_recovery_codes"),
    path("account/security/app/activate/", noting(totp.activate_totp), name="mfa_activate_totp"),
    path("account/security/app/deactivate/", noting(totp.deactivate_totp), name="mfa_deactivate_totp"),
    path("account/security/passkeys/", passkeys.list_webauthn, name="mfa_list_webauthn"),
    path("account/security/passkeys/add/", noting(passkeys.add_webauthn), name="mfa_add_webauthn"),
    path("account/security/passkeys/<int:pk>/", passkeys.edit_webauthn, name="mfa_edit_webauthn"),
    path("account/security/passkeys/<int:pk>/remove/", noting(passkeys.remove_webauthn), name="mfa_remove_webauthn"),
]
