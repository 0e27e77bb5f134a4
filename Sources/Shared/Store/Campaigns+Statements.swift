import Postgres

extension Campaigns {
    /// Index: connections_of_environment, or connections_of_identity, in batches of 5,000.
    static let previewStatement = PostgresStatement(
        "preview_campaign", "select evergrant.campaign_preview($1, $2, $3)")

    static let startStatement = PostgresStatement(
        "start_campaign",
        "select evergrant.campaign_document(c) from evergrant.make_campaign($1, $2, $3, $4, $5, $6, $7) c")

    /// Index: campaigns_uid_key.
    static let findStatement = PostgresStatement(
        "find_campaign",
        "select evergrant.campaign_document(c) from evergrant.campaigns c where c.uid = $1 and c.environment_id = $2")

    static let identifyStatement = PostgresStatement(
        "identify_campaign", "select c.id from evergrant.campaigns c where c.uid = $1 and c.environment_id = $2")

    /// Index: campaigns_of_environment, backwards.
    static let listStatement = PostgresStatement(
        "list_campaigns",
        """
        select c.id, evergrant.campaign_document(c) from evergrant.campaigns c
        where c.environment_id = $1 and c.id < $2 and (not $4 or c.state in ('gathering', 'running', 'cancelling'))
        order by c.id desc limit $3
        """)

    /// Lock: the campaign's row.
    static let controlStatement = PostgresStatement(
        "control_campaign",
        """
        select case when c.id is not null then evergrant.campaign_document(c) end
        from evergrant.change_campaign($1, $2, $3, $4) c
        """)

    /// Index: campaign_members_by_state, one probe for each state.
    static let membersStatement = PostgresStatement(
        "list_campaign_members",
        """
        select m.place, m.subject,
            coalesce('conn_' || replace(k.uid::text, '-', ''), a.uid, w.uid), coalesce(k.integration, a.provider),
            k.identity, case when m.state = 'admitted' then 'queued' else m.state end, m.detail, m.ended_at
        from (
            select x.* from unnest($2::text[]) s(state), lateral (
                select * from evergrant.campaign_members y
                where y.campaign_id = $1 and y.state = s.state and y.place > $3
                order by y.campaign_id, y.state, y.place limit $4) x
            order by x.place limit $4) m
        left join evergrant.connections k on m.subject = 'connection' and k.id = m.subject_id
        left join evergrant.oauth_apps a on m.subject = 'oauth_app' and a.id = m.subject_id
        left join evergrant.webhook_endpoints w on m.subject = 'webhook_endpoint' and w.id = m.subject_id
        order by m.place
        """)
}
